//! The contexts of the Zstandard library, kept from one batch for the next.
//!
//! One takes half a megabyte or more, allocated in large pieces and touched for the first time: for a batch of 16 KiB that
//! costs more than its records do. So what was used goes back to those that wait, as long as all of them together take no
//! more than [`KEPT_BYTES_MAX`] of each kind, and is taken from there with nothing left of the batch before.

use std::{
    io,
    ops::{Deref, DerefMut},
    sync::{Mutex, PoisonError},
};

use zstd::zstd_safe::{CCtx, DCtx, ResetDirective};

/// What contexts that wait may hold. A hundred cores can open a hundred batches, but not all of them are as large.
const KEPT_BYTES_MAX: usize = 16 << 20;

static COMPRESSING: Mutex<Vec<CCtx<'static>>> = Mutex::new(Vec::new());
static DECOMPRESSING: Mutex<Vec<DCtx<'static>>> = Mutex::new(Vec::new());

/// A context that compresses, with the library's own choice of parameters.
pub fn compressing() -> io::Result<Lent<CCtx<'static>>> {
    Lent::take(&COMPRESSING)
}

/// A context that decompresses.
pub fn decompressing() -> io::Result<Lent<DCtx<'static>>> {
    Lent::take(&DECOMPRESSING)
}

/// A context on loan.
pub struct Lent<T: Context> {
    /// Always there, but while it goes back.
    context: Option<T>,
    waiting: &'static Mutex<Vec<T>>,
}

impl<T: Context> Lent<T> {
    fn take(waiting: &'static Mutex<Vec<T>>) -> io::Result<Self> {
        let kept = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let context = kept.or_else(T::create).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { context: Some(context), waiting })
    }
}

#[cfg(test)]
impl<T: Context> Lent<T> {
    /// One that nothing was done with yet.
    pub fn fresh() -> Self {
        Self { context: T::create(), waiting: Box::leak(Box::default()) }
    }
}

impl<T: Context> Drop for Lent<T> {
    fn drop(&mut self) {
        let Some(mut context) = self.context.take() else { return };
        if !context.forget() {
            return;
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let kept: usize = waiting.iter().map(T::memory).sum();
        if kept + context.memory() <= KEPT_BYTES_MAX {
            waiting.push(context);
        }
    }
}

impl<T: Context> Deref for Lent<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.context.as_ref().expect("on loan")
    }
}

impl<T: Context> DerefMut for Lent<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.context.as_mut().expect("on loan")
    }
}

/// A kind of context.
pub trait Context: Sized + 'static {
    /// A new one; none where there is no memory for it.
    fn create() -> Option<Self>;
    /// Bytes that it holds.
    fn memory(&self) -> usize;
    /// Makes it as good as new. False if that fails.
    fn forget(&mut self) -> bool;
}

impl Context for CCtx<'static> {
    fn create() -> Option<Self> {
        Self::try_create()
    }

    fn memory(&self) -> usize {
        self.sizeof()
    }

    fn forget(&mut self) -> bool {
        self.reset(ResetDirective::SessionAndParameters).is_ok()
    }
}

impl Context for DCtx<'static> {
    fn create() -> Option<Self> {
        Self::try_create()
    }

    fn memory(&self) -> usize {
        self.sizeof()
    }

    fn forget(&mut self) -> bool {
        self.reset(ResetDirective::SessionAndParameters).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use zstd::zstd_safe::{CParameter, InBuffer, OutBuffer};

    use super::*;

    /// Those that wait in a test of their own.
    fn waiting<T: Context>() -> &'static Mutex<Vec<T>> {
        Box::leak(Box::default())
    }

    fn kept<T: Context>(waiting: &Mutex<Vec<T>>) -> usize {
        waiting.lock().expect("nobody panicked").len()
    }

    fn decompress(context: &mut DCtx<'_>, input: &[u8]) -> Result<Vec<u8>, usize> {
        let mut output = vec![0; 1 << 20];
        let mut out = OutBuffer::around(&mut output[..]);
        context.decompress_stream(&mut out, &mut InBuffer::around(input))?;
        let written = out.pos();
        output.truncate(written);
        Ok(output)
    }

    #[test]
    fn a_context_comes_back_with_nothing_of_the_batch_before() {
        let waiting = waiting::<DCtx<'static>>();
        let packed = zstd::encode_all(&[7; 50_000][..], 3).expect("memory");
        for broken in [&packed[..packed.len() - 3], b"no frame at all", &packed[..3]] {
            let mut context = Lent::take(waiting).expect("memory");
            let _ = decompress(&mut context, broken);
            drop(context);
            assert_eq!(kept(waiting), 1, "the same one each time");
            let mut context = Lent::take(waiting).expect("memory");
            assert_eq!(kept(waiting), 0);
            assert_eq!(decompress(&mut context, &packed), Ok(vec![7; 50_000]));
        }
    }

    #[test]
    fn parameters_of_one_batch_are_not_the_next_ones() {
        let waiting = waiting::<CCtx<'static>>();
        let input: Vec<u8> = (0..200_000_u32).map(|n| (n.wrapping_mul(n) >> 7) as u8 % 9).collect();
        let compress = |context: &mut CCtx<'_>| {
            let mut output = Vec::with_capacity(1 << 20);
            context.compress2(&mut output, &input).expect("there is room");
            output
        };
        let first = compress(&mut Lent::take(waiting).expect("memory"));
        let mut other = Lent::take(waiting).expect("memory");
        other.set_parameter(CParameter::CompressionLevel(19)).expect("a level");
        assert_ne!(compress(&mut other), first, "otherwise this test shows nothing");
        drop(other);
        assert_eq!(compress(&mut Lent::take(waiting).expect("memory")), first);
        assert_eq!(kept(waiting), 1);
    }

    #[test]
    fn what_waits_is_bounded_in_bytes() {
        let waiting = waiting::<DCtx<'static>>();
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).expect("a level");
        encoder.window_log(22).expect("a window");
        io::Write::write_all(&mut encoder, &[1; 1 << 20]).expect("memory");
        let packed = encoder.finish().expect("memory");
        let mut lent: Vec<Lent<DCtx<'static>>> = (0..8).map(|_| Lent::take(waiting).expect("memory")).collect();
        for context in &mut lent {
            decompress(context, &packed).expect("a frame");
        }
        let each = lent[0].sizeof();
        assert!(each > 4 << 20, "{each}");
        drop(lent);
        assert_eq!(kept(waiting), KEPT_BYTES_MAX / each);
    }
}

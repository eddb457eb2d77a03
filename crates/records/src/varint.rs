//! Zigzag varints, the only integers inside records.

use bytes::BufMut;

/// A varint that does not end within its type's length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Overlong;

/// Reads a 32-bit varint (at most 5 bytes) from what `next` gives.
pub(crate) fn read_i32<E: From<Overlong>>(next: impl FnMut() -> Result<u8, E>) -> Result<i32, E> {
    let raw = read::<5, E>(next)?;
    let raw = u32::try_from(raw).map_err(|_| Overlong)?;
    Ok((raw >> 1) as i32 ^ -((raw & 1) as i32))
}

/// Reads a 64-bit varint (at most 10 bytes) from what `next` gives.
pub(crate) fn read_i64<E: From<Overlong>>(next: impl FnMut() -> Result<u8, E>) -> Result<i64, E> {
    let raw = read::<10, E>(next)?;
    Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
}

fn read<const MAX: u32, E: From<Overlong>>(mut next: impl FnMut() -> Result<u8, E>) -> Result<u64, E> {
    let mut value = 0;
    for index in 0..MAX {
        let byte = next()?;
        value |= u64::from(byte & 0x7f).checked_shl(7 * index).ok_or(Overlong)?;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Overlong.into())
}

/// Appends a varint; one of 32 bits has the same bytes as the equal one of 64.
pub(crate) fn write(out: &mut impl BufMut, value: i64) {
    let mut raw = ((value << 1) ^ (value >> 63)) as u64;
    while raw >= 0x80 {
        out.put_u8(raw as u8 | 0x80);
        raw >>= 7;
    }
    out.put_u8(raw as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice_reader(bytes: &[u8]) -> impl FnMut() -> Result<u8, Overlong> {
        let mut rest = bytes.iter();
        move || rest.next().copied().ok_or(Overlong)
    }

    #[test]
    fn values_survive_a_round_trip_and_overlong_ones_are_refused() {
        for value in [0, 1, -1, 63, 64, -64, -65, i64::from(i32::MAX), i64::from(i32::MIN), i64::MAX, i64::MIN] {
            let mut bytes = Vec::new();
            write(&mut bytes, value);
            assert_eq!(read_i64(slice_reader(&bytes)), Ok(value));
            assert_eq!(read_i32(slice_reader(&bytes)).ok(), i32::try_from(value).ok(), "{value} as 32 bits");
        }
        assert_eq!(read_i32(slice_reader(&[0x80, 0x80, 0x80, 0x80, 0x80, 0])), Err(Overlong));
        assert_eq!(read_i32(slice_reader(&[0xff, 0xff, 0xff, 0xff, 0x7f])), Err(Overlong), "35 bits");
        assert_eq!(read_i64(slice_reader(&[0xff; 11])), Err(Overlong));
        assert_eq!(read_i64(slice_reader(&[0x80])), Err(Overlong), "cut");
    }
}

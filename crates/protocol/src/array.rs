//! Arrays in messages.

use std::fmt;

use crate::decode::{DecodeError, Decoder, LengthOf};
use crate::encode::{EncodeError, Encoder};
use crate::wire::{Nullable, Wire};

/// An array of a message: a view into the frame when it was decoded; items, owned or borrowed, when it was built to be
/// encoded.
///
/// Decoding walks all elements once, so that a bad one is refused at once, and keeps only where they are; each iteration
/// reads them anew. So an array of any length costs no memory. Iteration yields elements by value.
#[derive(Clone)]
pub struct Array<'a, T: 'a>(Repr<'a, T>);

#[derive(Clone)]
enum Repr<'a, T: 'a> {
    View { elements: Decoder<'a>, len: usize },
    Items(Vec<T>),
    Shared(&'a [T]),
}

impl<'a, T: Wire<'a>> Array<'a, T> {
    /// No elements.
    pub const EMPTY: Self = Self(Repr::Items(Vec::new()));

    /// How many elements there are.
    pub fn len(&self) -> usize {
        match &self.0 {
            Repr::View { len, .. } => *len,
            Repr::Items(items) => items.len(),
            Repr::Shared(items) => items.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements in order, by value. An array of a decoded message reads each from the frame, at the cost of decoding it.
    pub fn iter(&self) -> Iter<'_, 'a, T> {
        Iter(match &self.0 {
            Repr::View { elements, len } => Source::View { elements: elements.clone(), left: *len },
            Repr::Items(items) => Source::Items(items.iter()),
            Repr::Shared(items) => Source::Items(items.iter()),
        })
    }
}

impl<'a, T: Wire<'a>> Default for Array<'a, T> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<'a, T: 'a> From<Vec<T>> for Array<'a, T> {
    fn from(items: Vec<T>) -> Self {
        Self(Repr::Items(items))
    }
}

/// For many arrays with the same few items.
impl<'a, T: 'a> From<&'a [T]> for Array<'a, T> {
    fn from(items: &'a [T]) -> Self {
        Self(Repr::Shared(items))
    }
}

impl<'a, T: 'a> FromIterator<T> for Array<'a, T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self(Repr::Items(items.into_iter().collect()))
    }
}

impl<'a, T: Wire<'a>> PartialEq for Array<'a, T> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl<'a, T: Wire<'a>> fmt::Debug for Array<'a, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'i, 'a, T: Wire<'a>> IntoIterator for &'i Array<'a, T> {
    type Item = T;
    type IntoIter = Iter<'i, 'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The elements of an [`Array`], by value.
pub struct Iter<'i, 'a, T: 'a>(Source<'i, 'a, T>);

enum Source<'i, 'a, T: 'a> {
    View { elements: Decoder<'a>, left: usize },
    Items(std::slice::Iter<'i, T>),
}

impl<'a, T: Wire<'a>> Iterator for Iter<'_, 'a, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        match &mut self.0 {
            Source::View { elements, left } => {
                *left = left.checked_sub(1)?;
                Some(T::decode(elements, "element").expect("decoding has walked these very bytes before"))
            }
            Source::Items(items) => items.next().cloned(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = match &self.0 {
            Source::View { left, .. } => *left,
            Source::Items(items) => items.len(),
        };
        (left, Some(left))
    }
}

impl<'a, T: Wire<'a>> ExactSizeIterator for Iter<'_, 'a, T> {}

impl<'a, T: Wire<'a>> Wire<'a> for Array<'a, T> {
    fn decode(from: &mut Decoder<'a>, field: &'static str) -> Result<Self, DecodeError> {
        Self::decode_nullable(from, field)?.ok_or(DecodeError::Null { field })
    }

    fn encode(&self, to: &mut Encoder, field: &'static str) -> Result<(), EncodeError> {
        to.put_length(LengthOf::BytesOrArray, self.len(), field)?;
        match &self.0 {
            Repr::View { .. } => self.iter().try_for_each(|element| element.encode(to, field)),
            Repr::Items(items) => items.iter().try_for_each(|element| element.encode(to, field)),
            Repr::Shared(items) => items.iter().try_for_each(|element| element.encode(to, field)),
        }
    }
}

impl<'a, T: Wire<'a>> Nullable<'a> for Array<'a, T> {
    fn decode_nullable(from: &mut Decoder<'a>, field: &'static str) -> Result<Option<Self>, DecodeError> {
        let Some(len) = from.length(LengthOf::BytesOrArray, field)? else { return Ok(None) };
        let remaining = from.rest().len();
        // Every element has a byte at least, so this bounds the walk as well.
        if len > remaining {
            return Err(DecodeError::Count { field, count: len, remaining });
        }
        let elements = from.clone();
        for _ in 0..len {
            T::decode(from, field)?;
        }
        Ok(Some(Self(Repr::View { elements, len })))
    }

    fn encode_null(to: &mut Encoder) {
        to.put_null_length(LengthOf::BytesOrArray);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owned_borrowed_and_decoded_arrays_are_equal_and_written_alike() {
        let items = [7i32, -1];
        let written = |array: &Array<'_, i32>| {
            let mut to = Encoder::new(0, false);
            array.encode(&mut to, "array").unwrap();
            to.finish().unwrap().to_bytes()
        };
        let (owned, borrowed) = (Array::from(items.to_vec()), Array::from(&items[..]));
        let bytes = written(&owned);
        let decoded = Array::decode(&mut Decoder::new(&bytes[4..], 0, false), "array").unwrap();
        for array in [&owned, &borrowed, &decoded] {
            assert_eq!(array, &owned);
            assert_eq!(array.iter().collect::<Vec<_>>(), items);
            assert_eq!(written(array), bytes);
        }
    }
}

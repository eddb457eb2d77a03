//! The primitives that entries and snapshots are written with.
//!
//! Unsigned numbers are LEB128 varints of minimal length, signed ones zigzag first, so that equal values have equal bytes.
//! A [`Reader`] trusts nothing: a count is checked against the bytes that remain before anything is allocated for it.

/// Bytes that are not what their format says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed {0}")]
pub struct Malformed(pub &'static str);

/// Appends primitives to a buffer.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    pub(crate) bytes: Vec<u8>,
}

impl Writer {
    pub(crate) fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub(crate) fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    pub(crate) fn zigzag(&mut self, value: i64) {
        self.varint(((value << 1) ^ (value >> 63)) as u64);
    }

    pub(crate) fn count(&mut self, value: usize) {
        self.varint(value as u64);
    }

    pub(crate) fn u128(&mut self, value: u128) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    pub(crate) fn string(&mut self, value: &str) {
        self.count(value.len());
        self.bytes.extend_from_slice(value.as_bytes());
    }

    pub(crate) fn blob(&mut self, value: &[u8]) {
        self.count(value.len());
        self.bytes.extend_from_slice(value);
    }

    pub(crate) fn optional_zigzag(&mut self, value: Option<i64>) {
        self.u8(value.is_some() as u8);
        if let Some(value) = value {
            self.zigzag(value);
        }
    }

    /// Zero for absent, else the value plus one.
    pub(crate) fn optional(&mut self, value: Option<u64>) {
        self.varint(value.map_or(0, |value| value.saturating_add(1)));
    }

    pub(crate) fn optional_string(&mut self, value: Option<&str>) {
        self.u8(value.is_some() as u8);
        if let Some(value) = value {
            self.string(value);
        }
    }
}

/// Takes primitives from a slice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

type Read<T> = Result<T, Malformed>;

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn take(&mut self, len: usize, what: &'static str) -> Read<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or(Malformed(what))?;
        self.rest = rest;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self, what: &'static str) -> Read<[u8; N]> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(Malformed(what))?;
        self.rest = rest;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self, what: &'static str) -> Read<u8> {
        Ok(self.array::<1>(what)?[0])
    }

    pub(crate) fn flag(&mut self, what: &'static str) -> Read<bool> {
        match self.u8(what)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed(what)),
        }
    }

    pub(crate) fn u128(&mut self, what: &'static str) -> Read<u128> {
        Ok(u128::from_be_bytes(self.array(what)?))
    }

    pub(crate) fn varint(&mut self, what: &'static str) -> Read<u64> {
        let mut value = 0u64;
        for index in 0..10 {
            let byte = *self.rest.get(index).ok_or(Malformed(what))?;
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                let overlong = index > 0 && byte == 0;
                let overflow = index == 9 && byte > 1;
                if overlong || overflow {
                    return Err(Malformed(what));
                }
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        Err(Malformed(what))
    }

    pub(crate) fn zigzag(&mut self, what: &'static str) -> Read<i64> {
        let value = self.varint(what)?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// A varint that must fit the narrower type.
    pub(crate) fn number<T: TryFrom<u64>>(&mut self, what: &'static str) -> Read<T> {
        T::try_from(self.varint(what)?).map_err(|_| Malformed(what))
    }

    /// A zigzag varint that must fit the narrower type.
    pub(crate) fn signed<T: TryFrom<i64>>(&mut self, what: &'static str) -> Read<T> {
        T::try_from(self.zigzag(what)?).map_err(|_| Malformed(what))
    }

    /// A count of items that take at least `least` bytes each; refused when the bytes that remain cannot hold them.
    pub(crate) fn count(&mut self, least: usize, what: &'static str) -> Read<usize> {
        let count: usize = self.number(what)?;
        match count <= self.rest.len() / least {
            true => Ok(count),
            false => Err(Malformed(what)),
        }
    }

    pub(crate) fn string(&mut self, what: &'static str) -> Read<String> {
        let len = self.count(1, what)?;
        let bytes = self.take(len, what)?;
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| Malformed(what))
    }

    pub(crate) fn blob(&mut self, what: &'static str) -> Read<&'a [u8]> {
        let len = self.count(1, what)?;
        self.take(len, what)
    }

    pub(crate) fn optional_zigzag(&mut self, what: &'static str) -> Read<Option<i64>> {
        Ok(match self.flag(what)? {
            true => Some(self.zigzag(what)?),
            false => None,
        })
    }

    pub(crate) fn optional(&mut self, what: &'static str) -> Read<Option<u64>> {
        Ok(self.varint(what)?.checked_sub(1))
    }

    pub(crate) fn optional_string(&mut self, what: &'static str) -> Read<Option<String>> {
        Ok(match self.flag(what)? {
            true => Some(self.string(what)?),
            false => None,
        })
    }

    /// Nothing may be left over.
    pub(crate) fn finish(self, what: &'static str) -> Read<()> {
        match self.rest.is_empty() {
            true => Ok(()),
            false => Err(Malformed(what)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_are_minimal_and_bounded() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut writer = Writer::default();
            writer.varint(value);
            let mut reader = Reader::new(&writer.bytes);
            assert_eq!(reader.varint("n"), Ok(value));
            assert_eq!(reader.remaining(), 0);
        }
        for bad in
            [&[][..], &[0x80], &[0x80, 0x00], &[0xff; 10], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]]
        {
            assert_eq!(Reader::new(bad).varint("n"), Err(Malformed("n")), "{bad:?}");
        }
    }

    #[test]
    fn zigzag_takes_every_sign() {
        for value in [0, -1, 1, 63, -64, 64, i64::MIN, i64::MAX] {
            let mut writer = Writer::default();
            writer.zigzag(value);
            assert_eq!(Reader::new(&writer.bytes).zigzag("n"), Ok(value));
        }
    }

    #[test]
    fn a_count_beyond_the_bytes_is_refused() {
        let mut writer = Writer::default();
        writer.count(3);
        writer.bytes.extend_from_slice(&[0; 5]);
        assert_eq!(Reader::new(&writer.bytes).count(2, "items"), Err(Malformed("items")));
        assert_eq!(Reader::new(&writer.bytes).count(1, "items"), Ok(3));
    }
}

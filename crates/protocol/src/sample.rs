//! For tests: a value of any message from arbitrary bytes, and any message as the JSON that Kafka's tools print.
//!
//! [`message!`](crate::define) gives every struct both, so a new definition is covered as soon as it stands in the
//! catalogue.

use crate::define::Rule;
use crate::{Array, ErrorCode, Float64, Records, Uuid};

/// Values made from arbitrary bytes, and values as JSON.
pub(crate) trait Sample<'a> {
    /// Some value that the source's version can carry.
    fn sample(from: &mut Source<'_>) -> Self;

    /// Writes this as JSON.
    fn json(&self, to: &mut Json);
}

/// Arbitrary bytes that decide what a sample looks like. After their end everything is zero: small and default.
pub(crate) struct Source<'e> {
    entropy: &'e [u8],
    version: i16,
    may_be_null: bool,
}

impl<'e> Source<'e> {
    pub(crate) fn new(entropy: &'e [u8], version: i16) -> Self {
        Self { entropy, version, may_be_null: false }
    }

    pub(crate) fn field<'a, T: Sample<'a>>(&mut self, rule: &Rule, default: T) -> T {
        // A third of the tagged fields keeps its default, as most do in life.
        if !rule.carried_in(self.version) || (rule.tag.is_some() && self.byte().is_multiple_of(3)) {
            return default;
        }
        self.may_be_null = rule.nullable_in(self.version);
        T::sample(self)
    }

    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.entropy.split_first() else { return 0 };
        self.entropy = rest;
        *first
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::from(self.byte()) % from.len()]
    }

    fn bits(&mut self) -> u64 {
        match self.byte() % 4 {
            0 => u64::from(self.byte()),
            1 => u64::MAX - u64::from(self.byte()),
            2 => (i64::MAX as u64).rotate_left(u32::from(self.byte() % 64)),
            _ => u64::from_be_bytes(std::array::from_fn(|_| self.byte())),
        }
    }
}

/// JSON as text, without spaces.
pub(crate) struct Json {
    text: String,
    version: i16,
}

impl Json {
    pub(crate) fn of<'a>(value: &impl Sample<'a>, version: i16) -> String {
        let mut json = Self { text: String::new(), version };
        value.json(&mut json);
        json.text
    }

    pub(crate) fn object<'a>(&mut self, fields: &[(&Rule, &dyn JsonField<'a>)]) {
        self.text.push('{');
        let version = self.version;
        let carried = fields.iter().filter(|(rule, _)| rule.carried_in(version));
        for (i, (rule, value)) in carried.enumerate() {
            let separator = if i == 0 { "" } else { "," };
            let (_, field) = rule.name.split_once('.').expect("a rule is named Struct.field");
            self.text.push_str(&format!("{separator}\"{}\":", camel_case(field)));
            value.write(self);
        }
        self.text.push('}');
    }

    fn base64(&mut self, bytes: &[u8]) {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        assert_eq!(bytes.len() % 3, 0, "padding is not needed here");
        self.text.push('"');
        for three in bytes.chunks(3) {
            let bits = u32::from_be_bytes([0, three[0], three[1], three[2]]);
            (0..4).for_each(|i| self.text.push(char::from(DIGITS[(bits >> (18 - 6 * i) & 0x3f) as usize])));
        }
        self.text.push('"');
    }
}

/// What of [`Sample`] can be called without knowing the type.
pub(crate) trait JsonField<'a> {
    fn write(&self, to: &mut Json);
}

impl<'a, T: Sample<'a>> JsonField<'a> for T {
    fn write(&self, to: &mut Json) {
        self.json(to);
    }
}

fn camel_case(snake: &str) -> String {
    // A field whose name is a word of Rust ends with an underscore.
    let mut words = snake.trim_end_matches('_').split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| name + &word[..1].to_uppercase() + &word[1..])
}

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl<'a> Sample<'a> for $type {
            fn sample(from: &mut Source<'_>) -> Self {
                from.bits() as $type
            }

            fn json(&self, to: &mut Json) {
                to.text.push_str(&self.to_string());
            }
        }
    )*};
}

integers!(i8, i16, u16, i32, i64);

impl<'a> Sample<'a> for Float64 {
    fn sample(from: &mut Source<'_>) -> Self {
        Self(from.pick(&[0.0, -0.5, 1.0e9, f64::MAX, f64::INFINITY]))
    }

    fn json(&self, to: &mut Json) {
        to.text.push_str(&format!("{:?}", self.0));
    }
}

impl<'a> Sample<'a> for bool {
    fn sample(from: &mut Source<'_>) -> Self {
        from.byte() % 2 == 1
    }

    fn json(&self, to: &mut Json) {
        to.text.push_str(&self.to_string());
    }
}

impl<'a> Sample<'a> for &'a str {
    fn sample(from: &mut Source<'_>) -> Self {
        // Around the length where the compact form takes a second byte, and more than one byte to a character.
        const LONG: &str = concat!(
            "0123456789012345678901234567890123456789012345678901234567890123456789",
            "012345678901234567890123456789012345678901234567890123456789",
        );
        from.pick(&["", "a", "topic", "größe-日本語", &LONG[..126], &LONG[..127], LONG])
    }

    fn json(&self, to: &mut Json) {
        assert!(!self.contains(['"', '\\']), "escapes are not needed here");
        to.text.push_str(&format!("\"{self}\""));
    }
}

impl<'a> Sample<'a> for &'a [u8] {
    fn sample(from: &mut Source<'_>) -> Self {
        static BYTES: [u8; 300] = [0xa5; 300];
        let len = from.pick(&[0, 1, 61, 126, 127, 300]);
        &BYTES[..len]
    }

    fn json(&self, to: &mut Json) {
        to.base64(self);
    }
}

impl<'a> Sample<'a> for Uuid {
    fn sample(from: &mut Source<'_>) -> Self {
        Self(((u128::from(from.bits()) << 64) | u128::from(from.bits())).to_be_bytes())
    }

    fn json(&self, to: &mut Json) {
        to.text.push_str(&format!("\"{self}\""));
    }
}

impl<'a> Sample<'a> for ErrorCode {
    fn sample(from: &mut Source<'_>) -> Self {
        from.pick(Self::ALL)
    }

    fn json(&self, to: &mut Json) {
        self.code().json(to);
    }
}

impl<'a> Sample<'a> for Records<'a> {
    fn sample(from: &mut Source<'_>) -> Self {
        static BYTES: [u8; 300] = [0x5a; 300];
        let len = from.pick(&[0, 1, 61, 126, 127, 300]);
        Self::Slice(&BYTES[..len])
    }

    fn json(&self, to: &mut Json) {
        to.base64(self.as_slice().expect("decoded records are one slice"));
    }
}

impl<'a, T: Sample<'a>> Sample<'a> for Option<T> {
    fn sample(from: &mut Source<'_>) -> Self {
        if from.may_be_null && from.byte().is_multiple_of(3) { None } else { Some(T::sample(from)) }
    }

    fn json(&self, to: &mut Json) {
        match self {
            Some(value) => value.json(to),
            None => to.text.push_str("null"),
        }
    }
}

impl<'a, T: Sample<'a> + crate::Wire<'a>> Sample<'a> for Array<'a, T> {
    fn sample(from: &mut Source<'_>) -> Self {
        let len = from.byte() % 4;
        (0..len).map(|_| T::sample(from)).collect()
    }

    fn json(&self, to: &mut Json) {
        to.text.push('[');
        for (i, element) in self.iter().enumerate() {
            if i > 0 {
                to.text.push(',');
            }
            element.json(to);
        }
        to.text.push(']');
    }
}

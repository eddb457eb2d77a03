//! How messages are defined: [`message!`] turns a table of fields into a struct that can be read and written in every
//! version.
//!
//! ```text
//! message! {
//!     PartitionProduceResponse<'a> {
//!         index: i32 [0+],                                      // in every version
//!         log_append_time_ms: i64 [2+, ignorable] = -1,         // from version 2; older ones drop it silently
//!         name: Option<&'a str> [0+, nullable 12+],             // null is allowed from version 12
//!         current_leader: LeaderIdAndEpoch [10+, tag 0],        // a tagged field
//!     }
//! }
//! ```
//!
//! Names, ranges and defaults are those of Kafka's JSON schemas, so that a definition can be compared with one line by
//! line. A field without a default has that of its type (null for an `Option`). A field that a version does not have reads
//! as its default; on writing it is dropped if it is `ignorable` or has its default, and refused otherwise, as Kafka does.
//! Structs that borrow from the frame take the lifetime `'a`. Tagged fields stand in the order of their tags.

/// In which versions and how a field travels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule {
    pub name: &'static str,
    pub tag: Option<u32>,
    pub ignorable: bool,
    versions: (i16, i16),
    nullable: (i16, i16),
}

impl Rule {
    pub const fn new(name: &'static str, min: i16, max: i16) -> Self {
        Self { name, tag: None, ignorable: false, versions: (min, max), nullable: (0, i16::MAX) }
    }

    pub const fn tag(self, tag: u32) -> Self {
        Self { tag: Some(tag), ..self }
    }

    pub const fn ignorable(self) -> Self {
        Self { ignorable: true, ..self }
    }

    pub const fn nullable(self, min: i16, max: i16) -> Self {
        Self { nullable: (min, max), ..self }
    }

    pub const fn carried_in(&self, version: i16) -> bool {
        self.versions.0 <= version && version <= self.versions.1
    }

    pub const fn nullable_in(&self, version: i16) -> bool {
        self.nullable.0 <= version && version <= self.nullable.1
    }
}

/// The words in a field's brackets as a [`Rule`].
macro_rules! rule {
    ($name:expr, $min:literal + $(, $($more:tt)+)?) => {
        $crate::define::rule!(@ $crate::define::Rule::new($name, $min, i16::MAX) $(, $($more)+)?)
    };
    ($name:expr, $min:literal - $max:literal $(, $($more:tt)+)?) => {
        $crate::define::rule!(@ $crate::define::Rule::new($name, $min, $max) $(, $($more)+)?)
    };
    (@ $rule:expr) => { $rule };
    (@ $rule:expr, ignorable $(, $($more:tt)+)?) => { $crate::define::rule!(@ $rule.ignorable() $(, $($more)+)?) };
    (@ $rule:expr, tag $tag:literal $(, $($more:tt)+)?) => { $crate::define::rule!(@ $rule.tag($tag) $(, $($more)+)?) };
    (@ $rule:expr, nullable $min:literal + $(, $($more:tt)+)?) => {
        $crate::define::rule!(@ $rule.nullable($min, i16::MAX) $(, $($more)+)?)
    };
    (@ $rule:expr, nullable $min:literal - $max:literal $(, $($more:tt)+)?) => {
        $crate::define::rule!(@ $rule.nullable($min, $max) $(, $($more)+)?)
    };
}

/// The default of a field: as written, else that of its type.
macro_rules! default_or {
    () => {
        Default::default()
    };
    ($default:expr) => {
        $default
    };
}

/// Structs of messages; see the module's documentation.
macro_rules! message {
    ($(
        $(#[$meta:meta])*
        $name:ident $(<$life:lifetime>)? {
            $( $field:ident : $type:ty [ $($rule:tt)+ ] $(= $default:expr)? ),* $(,)?
        }
    )+) => {$(
        #[doc = concat!("`", stringify!($name), "` of Kafka's schema.")]
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name $(<$life>)? {
            $(
                #[doc = concat!("Versions: ", stringify!($($rule)+), ".")]
                pub $field: $type,
            )*
        }

        impl $(<$life>)? Default for $name $(<$life>)? {
            fn default() -> Self {
                Self { $( $field: $crate::define::default_or!($($default)?), )* }
            }
        }

        /// How each field travels, under the field's own name.
        #[allow(non_upper_case_globals, reason = "named after the fields")]
        impl $(<$life>)? $name $(<$life>)? {
            $(
                const $field: $crate::define::Rule =
                    $crate::define::rule!(concat!(stringify!($name), ".", stringify!($field)), $($rule)+);
            )*
        }

        impl<'a> $crate::wire::Wire<'a> for $name $(<$life>)? {
            fn decode(
                from: &mut $crate::decode::Decoder<'a>,
                _field: &'static str,
            ) -> Result<Self, $crate::decode::DecodeError> {
                let mut value = Self {
                    $( $field: from.field(&Self::$field, $crate::define::default_or!($($default)?))?, )*
                };
                from.tagged_fields(concat!(stringify!($name), ".tagged_fields"), |tag, from| {
                    $(
                        if let Some(tagged) = from.tagged_value(&Self::$field, tag)? {
                            value.$field = tagged;
                            return Ok(true);
                        }
                    )*
                    Ok(false)
                })?;
                Ok(value)
            }

            fn encode(
                &self,
                to: &mut $crate::encode::Encoder,
                _field: &'static str,
            ) -> Result<(), $crate::encode::EncodeError> {
                $( to.field(&Self::$field, &self.$field, $crate::define::default_or!($($default)?))?; )*
                if !to.flexible() {
                    return Ok(());
                }
                let tags = 0 $(
                    + u32::from(to.tags(&Self::$field, &self.$field, $crate::define::default_or!($($default)?)))
                )*;
                to.put_unsigned_varint(tags);
                $(
                    if to.tags(&Self::$field, &self.$field, $crate::define::default_or!($($default)?)) {
                        to.tagged_field(&Self::$field, &self.$field)?;
                    }
                )*
                Ok(())
            }
        }

        impl<'a> $crate::wire::Nullable<'a> for $name $(<$life>)? {
            fn decode_nullable(
                from: &mut $crate::decode::Decoder<'a>,
                field: &'static str,
            ) -> Result<Option<Self>, $crate::decode::DecodeError> {
                use $crate::wire::Wire;
                match i8::decode(from, field)? {
                    -1 => Ok(None),
                    1 => Self::decode(from, field).map(Some),
                    byte => Err($crate::decode::DecodeError::Presence { field, byte }),
                }
            }

            fn encode_null(to: &mut $crate::encode::Encoder) {
                to.put(&(-1i8).to_be_bytes());
            }

            fn encode_present(
                &self,
                to: &mut $crate::encode::Encoder,
                field: &'static str,
            ) -> Result<(), $crate::encode::EncodeError> {
                use $crate::wire::Wire;
                to.put(&1i8.to_be_bytes());
                self.encode(to, field)
            }
        }

        #[cfg(test)]
        impl<'a> $crate::sample::Sample<'a> for $name $(<$life>)? {
            fn sample(from: &mut $crate::sample::Source<'_>) -> Self {
                Self { $( $field: from.field(&Self::$field, $crate::define::default_or!($($default)?)), )* }
            }

            fn json(&self, to: &mut $crate::sample::Json) {
                to.object(&[ $( (&Self::$field, &self.$field) ),* ]);
            }
        }
    )+};
}

pub(crate) use {default_or, message, rule};

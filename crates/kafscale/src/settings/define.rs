//! The macro that turns one list of settings into everything that is said about them.
//!
//! [`settings!`](crate::settings::define) is called once, in `catalogue.rs`. It makes the struct of typed values, the table
//! of [`Definition`]s that flags, help, `kafscale config` and `docs/settings.md` are drawn from, and the reader that goes
//! from chosen texts to values. A setting has one name: `max-connections` is the flag `--max-connections`, the variable
//! `KAFSCALE_MAX_CONNECTIONS` and the TOML key `max-connections`.

/// What is known of one setting apart from its value.
#[derive(Debug)]
pub struct Definition {
    /// The field of [`Settings`](super::Settings), in snake case; every public name derives from it.
    pub field: &'static str,
    /// The group under which help and documentation list it.
    pub section: &'static str,
    /// What it means, in sentences.
    pub doc: &'static str,
    /// The default, written as a user would write it; `none` where there is none.
    pub default: &'static str,
    /// What stands for the value in help, such as `DIR`.
    pub placeholder: &'static str,
    /// A variable of another name than `KAFSCALE_<NAME>`, where an outside convention rules (`AWS_REGION`).
    pub foreign_variable: Option<&'static str>,
    /// The only texts that are accepted, if there are so few.
    pub choices: &'static [&'static str],
    /// Secrets have no flag (a command line is public) and are never printed.
    pub secret: bool,
    /// Whether the flag may stand without a value and then means `true`.
    pub switch: bool,
}

impl Definition {
    /// The name of the TOML key, and of the flag without its dashes.
    pub fn name(&self) -> String {
        self.field.replace('_', "-")
    }

    /// The environment variable.
    pub fn variable(&self) -> String {
        match self.foreign_variable {
            Some(variable) => variable.to_owned(),
            None => format!("{VARIABLE_PREFIX}{}", self.field.to_ascii_uppercase()),
        }
    }

    /// Whether the value is an address, in which something secret may stand that is not to be shown.
    pub fn is_address(&self) -> bool {
        matches!(self.placeholder, "URL" | "HOST")
    }

    /// The documentation as one paragraph.
    pub fn text(&self) -> String {
        self.doc.trim().to_owned()
    }
}

/// Every environment variable that starts so must be one of ours.
pub const VARIABLE_PREFIX: &str = "KAFSCALE_";

/// Defines the settings; see the module's text and `catalogue.rs`, its one use.
macro_rules! settings {
    ($(
        $section:literal {
            $( $(#[doc = $doc:literal])+ $field:ident: $type:ty = $default:literal, $placeholder:literal $(, $variable:literal)?; )+
        }
    )+) => {
        /// Everything `kafscale serve` can be told, as typed values. Each field's text is its documentation.
        #[derive(Debug, Clone)]
        pub struct Settings {
            $($( $(#[doc = $doc])+ pub $field: $type, )+)+
        }

        /// All settings in the order in which help and documentation list them.
        pub static DEFINITIONS: &[Definition] = &[$($(
            Definition {
                field: stringify!($field),
                section: $section,
                doc: concat!($($doc),+),
                default: $default,
                placeholder: $placeholder,
                foreign_variable: settings!(@variable $($variable)?),
                choices: <$type as Value>::CHOICES,
                secret: <$type as Value>::SECRET,
                switch: <$type as Value>::SWITCH,
            },
        )+)+];

        impl Settings {
            /// Reads every setting from the text that `choose` gives for it.
            pub(super) fn read(mut choose: impl FnMut(&'static Definition) -> Chosen) -> Result<(Self, Vec<Effective>), Error> {
                let mut definitions = DEFINITIONS.iter();
                let mut effective = Vec::with_capacity(DEFINITIONS.len());
                let settings = Self {
                    $($( $field: {
                        let definition = definitions.next().expect("the table has one row per field");
                        read_one::<$type>(definition, choose(definition), &mut effective)?
                    }, )+)+
                };
                Ok((settings, effective))
            }
        }
    };
    (@variable) => { None };
    (@variable $variable:literal) => { Some($variable) };
}
pub(super) use settings;

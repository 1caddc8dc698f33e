//! What a setting is: its row, and the macro that makes rows, fields and defaults from one table.
//!
//! Never knows which settings there are: that is `settings.rs`. `S` is the struct of all their values.

use super::value::BadValue;

/// When a new value takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// With the next reload or SET.
    Reload,
    /// With the next start; until then the old value stays.
    Restart,
}

/// Whether a setting does anything in this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It does what its sentence says.
    Active,
    /// It is read and shown, nothing more; the text says why. A file that sets it is warned about it.
    NoEffect(&'static str),
}

/// One row of the table.
#[derive(Debug)]
pub struct Row<S> {
    /// As files, SHOW CONFIG and SET call it.
    pub name: &'static str,
    /// The default's text; `None` = NULL, and then a reload that does not set it keeps the last value.
    pub default: Option<&'static str>,
    /// When a new value takes effect.
    pub change: Change,
    /// Whether it does anything.
    pub effect: Effect,
    /// What it means, unit first.
    pub doc: &'static str,
    pub(super) accepted: fn() -> String,
    pub(super) set: fn(&mut S, &str) -> Result<(), BadValue>,
    pub(super) show: fn(&S) -> Option<String>,
    pub(super) same: fn(&S, &S) -> bool,
    pub(super) caveat: fn(&S) -> Option<&'static str>,
    pub(super) copy: fn(&S, &mut S),
}

impl<S> Row<S> {
    /// What is accepted, for errors and the reference page.
    pub fn accepted(&self) -> String {
        (self.accepted)()
    }

    /// Reads `text` into its field of `settings`.
    ///
    /// # Errors
    /// `BadValue`; the field is as before.
    pub fn set(&self, settings: &mut S, text: &str) -> Result<(), BadValue> {
        (self.set)(settings, text)
    }

    /// The text of SHOW CONFIG, `None` = NULL.
    pub fn show(&self, settings: &S) -> Option<String> {
        (self.show)(settings)
    }

    /// Whether both have the same value, that which is not shown of it included.
    pub fn same(&self, one: &S, other: &S) -> bool {
        (self.same)(one, other)
    }

    /// Copies its field.
    pub fn copy(&self, from: &S, to: &mut S) {
        (self.copy)(from, to);
    }

    /// Why its present value, or a part of it, takes no effect, if it was moved from its default.
    pub fn without_effect(&self, settings: &S, defaults: &S) -> Option<&'static str> {
        match self.effect {
            _ if self.same(settings, defaults) => None,
            Effect::NoEffect(why) => Some(why),
            Effect::Active => (self.caveat)(settings),
        }
    }

    /// The line that tells of it.
    pub fn warning(&self, settings: &S, defaults: &S) -> Option<String> {
        let why = self.without_effect(settings, defaults)?;
        if let Effect::NoEffect(_) = self.effect {
            return Some(format!("setting {} has no effect: {why}", self.name));
        }
        Some(format!("setting {} has a part of its effect: {why}", self.name))
    }
}

/// A row's default as a text or as a value; NULL is the type's own "nothing".
macro_rules! default_of {
    (text NULL) => {
        None
    };
    (text $text:literal) => {
        Some($text)
    };
    ($type:ty, NULL) => {
        <$type>::default()
    };
    ($type:ty, $text:literal) => {
        // INVARIANT: every default parses; `tests/settings.rs` walks the table.
        <$type as Value>::parse($text).expect($text)
    };
}

/// Declares each setting once: field, parser, SHOW CONFIG row, reload rule and documentation.
macro_rules! settings {
    ($( $name:ident: $type:ty = $default:tt, $change:ident, $effect:expr, $doc:literal; )*) => {
        /// Every setting's value, typed. A value once made is not edited in place while others may read it.
        #[derive(Clone, Debug, PartialEq)]
        pub struct Settings {
            $( #[doc = $doc] pub $name: $type, )*
        }

        /// One row per setting, in the order of SHOW CONFIG.
        pub const TABLE: &[Setting] = &[ $( Setting {
            name: stringify!($name),
            default: default_of!(text $default),
            change: Change::$change,
            effect: $effect,
            doc: $doc,
            accepted: <$type as Value>::accepted,
            set: |to, text| { to.$name = Value::parse(text)?; Ok(()) },
            show: |of| of.$name.show(),
            same: |one, other| one.$name == other.$name,
            caveat: |of| of.$name.caveat(),
            copy: |from, to| to.$name.clone_from(&from.$name),
        }, )* ];

        impl Default for Settings {
            fn default() -> Self {
                Self { $( $name: default_of!($type, $default), )* }
            }
        }
    };
}

pub(super) use {default_of, settings};

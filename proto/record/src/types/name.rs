//! Names people choose: topics and groups. Checked once, at the door; a value of these types is valid.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::limits::NAME_BYTES_MAX;

/// Why a name was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing at all.
    #[error("the {kind} name is empty; use 1 to {NAME_BYTES_MAX} of A-Z a-z 0-9 . _ -")]
    Empty {
        /// "topic" or "group".
        kind: &'static str,
    },
    /// Too long.
    #[error("the {kind} name has {bytes} bytes; at most {NAME_BYTES_MAX} are allowed")]
    TooLong {
        /// "topic" or "group".
        kind: &'static str,
        /// Its length.
        bytes: usize,
    },
    /// A character that would be unsafe in a path or a terminal.
    #[error("the {kind} name {name:?} holds {character:?}; use only A-Z a-z 0-9 . _ -")]
    Character {
        /// "topic" or "group".
        kind: &'static str,
        /// The name as given.
        name: String,
        /// The first character refused.
        character: char,
    },
    /// `.` or `..`.
    #[error("the {kind} name {name:?} is not allowed; `.` and `..` mean directories")]
    Dots {
        /// "topic" or "group".
        kind: &'static str,
        /// The name as given.
        name: String,
    },
    /// Begins with `__`.
    #[error("the {kind} name {name:?} begins with `__`, which is reserved for Fidelog itself")]
    Reserved {
        /// "topic" or "group".
        kind: &'static str,
        /// The name as given.
        name: String,
    },
}

fn check(kind: &'static str, name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty { kind });
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(NameError::TooLong { kind, bytes: name.len() });
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if let Some(character) = name.chars().find(|&c| !allowed(c)) {
        return Err(NameError::Character { kind, name: name.to_owned(), character });
    }
    if name == "." || name == ".." {
        return Err(NameError::Dots { kind, name: name.to_owned() });
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// A name a user may choose.
            ///
            /// # Errors
            /// When it is empty, longer than 249 bytes, holds anything but `A-Z a-z 0-9 . _ -`, is `.` or `..`,
            /// or begins with the reserved `__`.
            pub fn new(name: &str) -> Result<Self, NameError> {
                let checked = Self::internal(name)?;
                if name.starts_with("__") {
                    return Err(NameError::Reserved { kind: $kind, name: name.to_owned() });
                }
                Ok(checked)
            }

            /// A name that may also begin with the reserved `__`.
            ///
            /// # Errors
            /// As [`Self::new`], the reserved prefix apart.
            pub fn internal(name: &str) -> Result<Self, NameError> {
                check($kind, name)?;
                Ok(Self(name.to_owned()))
            }

            /// Whether it is one of Fidelog's own.
            #[must_use]
            pub fn is_internal(&self) -> bool {
                self.0.starts_with("__")
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(name: String) -> Result<Self, NameError> {
                Self::internal(&name)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

name! {
    /// A topic's name.
    TopicName, "topic"
}
name! {
    /// A consumer group's name.
    GroupName, "group"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_their_directory_are_refused() {
        for bad in ["", ".", "..", "a/b", "a\0b", "a b", "ä", "__positions"] {
            assert!(TopicName::new(bad).is_err(), "{bad:?} was accepted");
        }
        assert!(TopicName::new(&"a".repeat(250)).is_err());
        assert!(TopicName::new(&"a".repeat(249)).is_ok());
        assert!(TopicName::internal("__positions").unwrap().is_internal());
    }
}

//! How a control message's kind is found: the one key of the object that names it. Not what a kind's fields are.

use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::MessageError;
use crate::text::shortened;

/// How many characters of a parser's words, or of a peer's keys, are repeated in an error.
const SHOWN: usize = 160;

/// Declares the kinds of one direction: the list of their names, and the way from a name to the variant and back.
/// A variant that is missing here does not compile.
macro_rules! kinds {
    ($(#[$doc:meta])* pub const $list:ident of $message:ident: $($kind:literal => $variant:ident,)+) => {
        $(#[$doc])*
        pub const $list: &[&str] = &[$($kind),+];

        impl $message {
            /// The key that names its kind.
            pub fn kind(&self) -> &'static str {
                match self {
                    $($message::$variant(_) => $kind,)+
                }
            }
        }

        impl $crate::message::kind::Kinds for $message {
            const KINDS: &[&'static str] = $list;

            fn from_fields(
                kind: &'static str,
                id: Option<u64>,
                text: &str,
            ) -> Result<$message, $crate::message::MessageError> {
                match kind {
                    $($kind => $crate::message::kind::fields(kind, id, text).map($message::$variant),)+
                    _ => unreachable!("{kind} is not in the list it was found in"),
                }
            }
        }

        impl serde::Serialize for $message {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self {
                    $($message::$variant(fields) => serde::Serialize::serialize(fields, serializer),)+
                }
            }
        }
    };
}
pub(super) use kinds;

/// The messages of one direction.
pub(super) trait Kinds: Sized + Serialize {
    /// The names of its kinds, in the order they are looked for.
    const KINDS: &[&'static str];

    /// The message of this kind, one of [`Kinds::KINDS`].
    fn from_fields(kind: &'static str, id: Option<u64>, text: &str) -> Result<Self, MessageError>;
}

/// The fields of a message whose kind is known.
pub(super) fn fields<T: DeserializeOwned>(
    kind: &'static str,
    id: Option<u64>,
    text: &str,
) -> Result<T, MessageError> {
    serde_json::from_str(text).map_err(|error| bad_field(kind, id, &error.to_string()))
}

/// The error for a message whose kind is known.
pub(super) fn bad_field(kind: &'static str, id: Option<u64>, problem: &str) -> MessageError {
    MessageError::BadField {
        kind,
        problem: shortened(problem, SHOWN),
        id,
    }
}

/// What the keys of a control message say, whatever its kind.
#[derive(Debug, Default)]
pub(super) struct Head {
    /// The kinds its keys name, in the order of the list they were looked for in.
    pub(super) kinds: Vec<&'static str>,
    /// Its id.
    pub(super) id: Id,
    keys: String,
}

/// The `id` of a control message.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Id {
    /// There is none.
    #[default]
    Absent,
    /// This one.
    Number(u64),
    /// Something that is not a number of 64 bits, or several.
    Wrong,
}

impl Head {
    /// Looks at a payload that should be a JSON object. Values other than the id are skipped, not kept, so that depth
    /// costs nothing.
    pub(super) fn parse(text: &str, kinds: &'static [&'static str]) -> Result<Head, MessageError> {
        let not_json = |error: serde_json::Error| MessageError::NotJson {
            problem: shortened(&error.to_string(), SHOWN),
        };
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let mut head = HeadSeed(kinds)
            .deserialize(&mut deserializer)
            .map_err(not_json)?;
        deserializer.end().map_err(not_json)?;
        head.kinds
            .sort_by_key(|kind| kinds.iter().position(|known| known == kind));
        Ok(head)
    }

    /// The id, where it is one.
    pub(super) fn id(&self) -> Option<u64> {
        match self.id {
            Id::Number(id) => Some(id),
            Id::Absent | Id::Wrong => None,
        }
    }

    /// The error for a message none of whose keys is known.
    pub(super) fn unknown_kind(&self) -> MessageError {
        let keys = if self.keys.is_empty() {
            "it has none"
        } else {
            &self.keys
        };
        MessageError::UnknownKind {
            keys: shortened(keys, SHOWN),
            id: self.id(),
        }
    }
}

struct HeadSeed(&'static [&'static str]);

impl<'de> DeserializeSeed<'de> for HeadSeed {
    type Value = Head;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Head, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for HeadSeed {
    type Value = Head;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Head, A::Error> {
        let mut head = Head::default();
        while let Some(key) = map.next_key::<String>()? {
            if key == "id" {
                let value = map.next_value::<MaybeId>()?.0;
                head.id = if head.id == Id::Absent {
                    value
                } else {
                    Id::Wrong
                };
                continue;
            }
            map.next_value::<IgnoredAny>()?;
            match self.0.iter().find(|kind| **kind == key) {
                Some(kind) if head.kinds.contains(kind) => {} // a field named twice is found with the fields
                Some(kind) => head.kinds.push(kind),
                None if head.keys.len() > SHOWN => {}
                None => {
                    let separator = if head.keys.is_empty() { "" } else { ", " };
                    head.keys.push_str(separator);
                    head.keys.extend(key.escape_debug().take(SHOWN));
                }
            }
        }
        Ok(head)
    }
}

/// An id of any shape: that it is wrong is told when the kind is known.
struct MaybeId(Id);

impl<'de> Deserialize<'de> for MaybeId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<MaybeId, D::Error> {
        Ok(MaybeId(match Value::deserialize(deserializer)? {
            Value::Null => Id::Absent,
            value => value.as_u64().map_or(Id::Wrong, Id::Number),
        }))
    }
}

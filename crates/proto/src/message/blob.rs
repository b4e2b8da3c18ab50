//! Bytes inside JSON, which has strings of Unicode only.

use std::fmt;

use bytes::Bytes;
use serde::de::{self, IgnoredAny, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes inside JSON: a string where they are UTF-8, else `{"hex":"00ff"}`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Blob(pub Bytes);

impl Blob {
    /// The bytes as hex, two digits each and nothing between them.
    pub fn to_hex(&self) -> String {
        to_hex(&self.0)
    }

    /// Bytes from hex: two digits each, in either case, and nothing else.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn from_hex(text: &str) -> Result<Blob, String> {
        from_hex(text).map(|bytes| Blob(bytes.into()))
    }
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("hex", &to_hex(&self.0))?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Blob, D::Error> {
        deserializer.deserialize_any(BlobVisitor)
    }
}

struct BlobVisitor;

impl<'de> Visitor<'de> for BlobVisitor {
    type Value = Blob;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or {\"hex\":\"…\"}")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Blob, E> {
        Ok(Blob(Bytes::copy_from_slice(text.as_bytes())))
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<Blob, E> {
        Ok(Blob(Bytes::from(text)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Blob, A::Error> {
        let mut bytes = None;
        while let Some(key) = map.next_key::<String>()? {
            if key != "hex" {
                map.next_value::<IgnoredAny>()?;
            } else if bytes.is_some() {
                return Err(de::Error::duplicate_field("hex"));
            } else {
                bytes = Some(from_hex(&map.next_value::<String>()?).map_err(de::Error::custom)?);
            }
        }
        bytes
            .map(|bytes| Blob(bytes.into()))
            .ok_or_else(|| de::Error::missing_field("hex"))
    }
}

fn to_hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        for nibble in [byte >> 4, byte & 0x0f] {
            text.extend(char::from_digit(u32::from(nibble), 16));
        }
    }
    text
}

/// Two digits a byte, in either case, and nothing else.
fn from_hex(text: &str) -> Result<Vec<u8>, String> {
    let nibble = |(index, digit): (usize, char)| {
        digit
            .to_digit(16)
            .map(|value| value as u8)
            .ok_or_else(|| format!("{digit:?} at character {index} is not hex"))
    };
    let mut bytes = Vec::with_capacity(text.len() / 2);
    let mut digits = text.chars().enumerate();
    while let Some(high) = digits.next() {
        let high = nibble(high)?;
        let Some(low) = digits.next() else {
            return Err("hex has an odd number of digits".to_owned());
        };
        bytes.push(high << 4 | nibble(low)?);
    }
    Ok(bytes)
}

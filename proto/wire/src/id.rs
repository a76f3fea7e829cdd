//! Ids of messages.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

/// The id of a message: 128 bits, shown as a UUID. Those made here are of version 7, so that they
/// sort by the time at which they were made.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct MessageId(pub u128);

/// A text that is not a UUID.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("message id is not a UUID such as `018f6b1e-7f3a-7c3e-9d2b-0123456789ab`")]
pub struct MessageIdError(#[source] uuid::Error);

// === impl MessageId ===

impl MessageId {
    /// A new id, of the system's clock and random source.
    #[must_use]
    pub fn generate() -> MessageId {
        MessageId(Uuid::now_v7().as_u128())
    }

    /// The id for a time, in milliseconds since the Unix epoch, and ten bytes of chance.
    #[must_use]
    pub fn at(unix_ms: u64, random: [u8; 10]) -> MessageId {
        MessageId(Builder::from_unix_timestamp_millis(unix_ms, &random).into_uuid().as_u128())
    }

    /// The id that stands for one which another system chose freely: always the same for the same
    /// source and text, so that a repetition is recognised. A UUID of version 8.
    #[must_use]
    pub fn of_foreign(source: &str, id: &str) -> MessageId {
        let mut hash = Sha256::new();
        // The length keeps (`ab`, `c`) and (`a`, `bc`) apart.
        hash.update((source.len() as u64).to_be_bytes());
        hash.update(source);
        hash.update(id);
        let digest = hash.finalize();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        MessageId(Builder::from_custom_bytes(bytes).into_uuid().as_u128())
    }

    /// The bytes, most significant first.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

impl From<[u8; 16]> for MessageId {
    fn from(bytes: [u8; 16]) -> MessageId {
        MessageId(u128::from_be_bytes(bytes))
    }
}

impl FromStr for MessageId {
    type Err = MessageIdError;

    fn from_str(text: &str) -> Result<MessageId, MessageIdError> {
        Uuid::parse_str(text).map(|uuid| MessageId(uuid.as_u128())).map_err(MessageIdError)
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(Uuid::from_u128(self.0).as_hyphenated(), f)
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for MessageId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MessageId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<MessageId, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_uuid_that_sorts_by_time() {
        let text = "018f6b1e-7f3a-7c3e-9d2b-0123456789ab";
        let id: MessageId = text.parse().expect("a UUID");
        assert_eq!(id.to_string(), text);
        assert_eq!(MessageId::from(id.to_bytes()), id);
        assert!(MessageId::at(1, [255; 10]) < MessageId::at(2, [0; 10]));
        assert_eq!(MessageId::at(1, [0; 10]).to_string(), "00000000-0001-7000-8000-000000000000");
        let (a, b) = (MessageId::generate(), MessageId::generate());
        assert_ne!(a, b);
        assert!("not-an-id".parse::<MessageId>().is_err());
    }

    #[test]
    fn a_foreign_id_gives_the_same_id_each_time() {
        let id = MessageId::of_foreign("/shop", "order-17");
        assert_eq!(id, MessageId::of_foreign("/shop", "order-17"));
        assert_ne!(id, MessageId::of_foreign("/shopo", "rder-17"));
        assert_eq!(&id.to_string()[14..15], "8", "version 8: {id}");
    }
}

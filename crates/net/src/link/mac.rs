//! MAC addresses.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The address of a link: six bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac(pub [u8; 6]);

/// Why a text is no MAC address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no MAC address: six bytes in hexadecimal are needed, as in 02:42:0a:59:00:02")]
pub struct MacError {
    text: String,
}

impl Mac {
    /// Returns the locally administered address that belongs to an IPv4 address.
    ///
    /// Who takes over an IPv4 address then takes over the MAC address as well, and neighbours' tables stay right.
    pub fn of_address(address: Ipv4Addr) -> Self {
        let [a, b, c, d] = address.octets();
        Self([0x02, 0x42, a, b, c, d])
    }

    /// Reads the address out of the bytes of a message.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self(bytes.try_into().ok()?))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl TryFrom<String> for Mac {
    type Error = MacError;

    fn try_from(text: String) -> Result<Self, MacError> {
        text.parse()
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> Self {
        mac.to_string()
    }
}

impl FromStr for Mac {
    type Err = MacError;

    fn from_str(text: &str) -> Result<Self, MacError> {
        let failed = || MacError { text: text.to_owned() };
        let byte = |part: &str| {
            let plain = part.len() <= 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
            u8::from_str_radix(part, 16).ok().filter(|_| plain)
        };
        let bytes: Option<Vec<u8>> = text.split([':', '-']).map(byte).collect();
        bytes.and_then(|bytes| Self::from_bytes(&bytes)).ok_or_else(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_again() {
        let mac = Mac::of_address(Ipv4Addr::new(10, 89, 0, 2));
        assert_eq!(mac.to_string(), "02:42:0a:59:00:02");
        assert_eq!(mac.to_string().parse(), Ok(mac));
        assert_eq!("02-42-A-59-0-2".parse(), Ok(mac));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["", "02:42", "02:42:0a:59:00:02:03", "02:42:0a:59:00:gg", "+2:42:0a:59:00:02"] {
            assert!(text.parse::<Mac>().is_err(), "{text}");
        }
    }
}

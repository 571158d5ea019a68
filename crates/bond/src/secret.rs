//! A joiner's secret.

use std::fmt;

use zeroize::Zeroizing;

/// What a client and its joiner both know: 256 random bits. Overwritten when it is dropped, and never shown.
#[derive(Clone, Eq, PartialEq)]
pub struct Secret(Zeroizing<[u8; Secret::BYTES]>);

impl Secret {
    /// Its length in bytes.
    pub const BYTES: usize = 32;

    /// The secret with these bytes. The caller overwrites its own copy.
    #[must_use]
    pub fn new(bytes: [u8; Self::BYTES]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The secret that [`to_hex`](Self::to_hex) has written; none if the digits are not so many, or no hexadecimal ones.
    #[must_use]
    pub fn of_hex(digits: &[u8]) -> Option<Self> {
        let mut bytes = Zeroizing::new([0; Self::BYTES]);
        let mut digits = digits.iter().map(|digit| char::from(*digit).to_digit(16));
        for byte in bytes.iter_mut() {
            let (high, low) = (digits.next()??, digits.next()??);
            *byte = u8::try_from(high << 4 | low).ok()?;
        }
        digits.next().is_none().then_some(Self(bytes))
    }

    /// In 64 hexadecimal digits, as it goes to a joiner.
    #[must_use]
    pub fn to_hex(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(2 * Self::BYTES));
        for byte in self.0.iter() {
            for digit in [byte >> 4, byte & 0xf] {
                text.extend(char::from_digit(digit.into(), 16));
            }
        }
        text
    }

    /// Its bytes, for a proof alone.
    pub(crate) fn bytes(&self) -> &[u8] {
        &*self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_64_hex_digits() {
        let secret = Secret::new(std::array::from_fn(|at| 7 * at as u8));
        let digits = secret.to_hex();
        assert!(digits.starts_with("00070e15"), "{}", *digits);
        for text in [digits.to_lowercase(), digits.to_uppercase()] {
            assert_eq!(Secret::of_hex(text.as_bytes()), Some(secret.clone()));
        }
        for wrong in ["", "00", &digits.replace('f', "g"), &digits[1..], &format!("{}0", *digits)] {
            assert_eq!(Secret::of_hex(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(format!("{secret:?}"), "Secret(..)");
    }
}

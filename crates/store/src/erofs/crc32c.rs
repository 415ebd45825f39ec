//! The checksum of the superblock: CRC-32C without the final inversion.

const POLYNOMIAL: u32 = 0x82f6_3b78;

/// Computes the checksum as the kernel does: seeded with ones, not inverted at the end.
pub(super) fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |sum, &byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| (sum >> 1) ^ if sum & 1 == 1 { POLYNOMIAL } else { 0 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_crc_32c() {
        assert_eq!(!checksum(b"123456789"), 0xe306_9283);
    }
}

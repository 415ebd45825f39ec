//! Names of images: what is taken prints and reads back as itself, and can neither leave its directory nor its line.

#![no_main]

use libfuzzer_sys::fuzz_target;
use oci::{Digest, Platform, Reference};

fuzz_target!(|text: &str| {
    if let Ok(reference) = text.parse::<Reference>() {
        let full = reference.to_string();
        assert_eq!(full.parse::<Reference>().as_ref(), Ok(&reference));
        assert_eq!(reference.familiar().parse::<Reference>().as_ref(), Ok(&reference));
        assert!(full.bytes().all(|byte| byte.is_ascii_graphic()), "{full:?}");
        assert!(reference.path().split('/').all(|part| !matches!(part, "" | "." | "..")), "{full:?}");
        assert!(reference.repository().len() <= 255, "{full:?}");
        assert!(reference.tag().is_some() || reference.digest().is_some(), "{full:?}");
    }
    if let Ok(digest) = text.parse::<Digest>() {
        assert_eq!(digest.to_string(), text);
    }
    if let Ok(platform) = text.parse::<Platform>() {
        assert_eq!(platform.to_string().parse().as_ref(), Ok(&platform));
    }
});

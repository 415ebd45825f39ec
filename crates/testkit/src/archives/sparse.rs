//! Files with holes, in the four ways there are, and maps that describe none.

use super::builder::SIZE;
use super::{Family, Magic, Member};

/// In GNU's header: four pieces, whether more follow, and the size with the holes.
const MAP: std::ops::Range<usize> = 386..482;
const MORE: usize = 482;
const REAL: std::ops::Range<usize> = 483..495;

/// A sparse file of GNU's old format.
fn old(real: u64, pieces: &[(u64, u64)], data: &[u8]) -> Member {
    let map: Vec<u8> = pieces.iter().take(4).flat_map(|&(at, length)| piece(at, length)).collect();
    Member::new(b'S', "s").magic(Magic::Gnu).data(data).text(MAP, &map).text(REAL, &number(real))
}

fn piece(at: u64, length: u64) -> Vec<u8> {
    [number(at), number(length)].concat()
}

/// In octal where that fits, in base-256 elsewhere.
fn number(number: u64) -> Vec<u8> {
    if number < 1 << 33 {
        return format!("{number:011o}\0").into_bytes();
    }
    [&[0x80, 0, 0, 0][..], &number.to_be_bytes()].concat()
}

/// A block with more pieces.
fn more(pieces: &[(u64, u64)], another: bool) -> Member {
    let mut block: Vec<u8> = pieces.iter().flat_map(|&(at, length)| piece(at, length)).collect();
    block.resize(512, 0);
    block[504] = another.into();
    Member::raw(block)
}

/// The records of a sparse file of PAX's.
fn pax(records: &[(&str, &str)], data: &[u8]) -> [Member; 2] {
    let records: Vec<_> = records.iter().map(|(key, value)| (format!("GNU.sparse.{key}"), value.as_bytes())).collect();
    let records: Vec<_> = records.iter().map(|(key, value)| (key.as_str(), *value)).collect();
    [Member::pax(&records), Member::file("s", data)]
}

/// The data of version 1.0, with its map.
fn mapped(map: &str, data: &[u8]) -> Vec<u8> {
    let mut all = map.as_bytes().to_vec();
    all.resize(all.len().next_multiple_of(512), 0);
    all.extend(data);
    all
}

pub(super) fn write(family: &mut Family) {
    let data = [b'd'; 1024];
    family.case("old: two pieces", [old(10_000, &[(0, 512), (5120, 512)], &data)]);
    family.case("old: nothing but a hole", [old(10_000, &[(10_000, 0)], b"")]);
    family.case("old: no piece at all", [old(10_000, &[], b"")]);
    family.case("old: pieces off the blocks", [old(10_000, &[(7, 100), (3001, 924)], &data)]);
    family.case("old: a terabyte", [old(1 << 40, &[(0, 512), ((1 << 40) - 512, 512)], &data)]);
    family.case("old: a piece beyond the end", [old(1000, &[(0, 512), (1024, 512)], &data)]);
    family.case("old: pieces out of order", [old(10_000, &[(5120, 512), (0, 512)], &data)]);
    family.case("old: pieces that overlap", [old(10_000, &[(0, 600), (512, 424)], &data)]);
    family.case("old: less stored than the pieces have", [old(10_000, &[(0, 512), (5120, 1024)], &data)]);
    family.case("old: more stored than the pieces have", [old(10_000, &[(0, 512)], &data)]);
    family.case("old: a real size smaller than what is stored", [old(512, &[(0, 512), (512, 512)], &data)]);
    family.case("old: a map of letters", [old(10_000, &[], &data).text(MAP, b"abc\0\0\0\0\0\0\0\0\0def\0")]);
    family.case("old: a real size of letters", [old(10_000, &[(0, 1024)], &data).text(REAL, b"lots\0")]);
    family.case("old: negative pieces", [old(10_000, &[], &data).base256(386..398, -512).base256(398..410, 1024)]);
    let far = [(0, 256), (1000, 256), (2000, 256), (3000, 128), (4000, 64), (5000, 64)];
    let header = || old(10_000, &far, b"").octal(SIZE, 1024).text(MORE..MORE + 1, &[1]);
    family.case("old: a map that goes on", [header(), more(&far[4..], false), Member::raw(data)]);
    family.case("old: a map that ends too early", [header()]);
    family.case(
        "old: a map that goes on and says nothing",
        [
            old(10_000, &[(0, 512), (5120, 512)], b"").octal(SIZE, 1024).text(MORE..MORE + 1, &[1]),
            more(&[], false),
            Member::raw(data),
        ],
    );
    family
        .case("old: in a header that is not GNU's", [old(10_000, &[(0, 512), (5120, 512)], &data).magic(Magic::Ustar)]);
    let zero = |extra: &[(&str, &str)], data: &[u8]| {
        let records = [&[("size", "10000"), ("numblocks", "2")], extra].concat();
        pax(&records, data)
    };
    family.case(
        "0.0: two pieces",
        zero(&[("offset", "0"), ("numbytes", "512"), ("offset", "5120"), ("numbytes", "512")], &data),
    );
    family.case("0.0: a length without an offset", zero(&[("numbytes", "512")], &data));
    family.case("0.0: an offset without a length", zero(&[("offset", "512")], &data));
    family.case("0.0: fewer pieces than it says", zero(&[("offset", "0"), ("numbytes", "1024")], &data));
    family.case("0.1: two pieces", zero(&[("map", "0,512,5120,512"), ("name", "real")], &data));
    family.case("0.1: an odd map", zero(&[("map", "0,512,5120")], &data));
    family.case("0.1: an empty map", zero(&[("map", "")], b""));
    family.case("0.1: a map of letters", zero(&[("map", "a,b")], &data));
    family.case("0.1: a map with a blank", zero(&[("map", "0, 512,5120,512")], &data));
    family.case("0.1: pieces that overlap", zero(&[("map", "0,600,512,424")], &data));
    family.case("0.1: pieces out of order", zero(&[("map", "5120,512,0,512")], &data));
    family.case("0.1: a map and no size", pax(&[("map", "0,512,5120,512")], &data));
    family.case("0.1: a size and no map", pax(&[("size", "10000")], &data));
    family.case("0.1: a size of letters", pax(&[("size", "big"), ("map", "0,1024")], &data));
    let one = |records: &[(&str, &str)], data: &[u8]| {
        let records = [&[("major", "1"), ("minor", "0"), ("name", "real")], records].concat();
        pax(&records, data)
    };
    let real = [("realsize", "10000")];
    family.case("1.0: two pieces", one(&real, &mapped("2\n0\n512\n5120\n512\n", &data)));
    family.case("1.0: no piece", one(&real, &mapped("0\n", b"")));
    family.case(
        "1.0: a map that crosses a block",
        one(&real, &{
            let map: String = (0..128).map(|number| format!("{}\n{}\n", number * 64, 8)).collect();
            mapped(&format!("128\n{map}"), &data)
        }),
    );
    family.case("1.0: a map without an end", one(&real, &mapped("2\n0\n512\n", &data)));
    family.case("1.0: a map of letters", one(&real, &mapped("two\n0\n512\n", &data)));
    family.case("1.0: a map of a billion pieces", one(&real, &mapped("1000000000\n0\n512\n", &data)));
    family.case("1.0: a number of thirty digits", one(&real, &mapped(&format!("1\n{}\n512\n", "9".repeat(30)), &data)));
    family.case("1.0: a piece beyond the end", one(&real, &mapped("1\n9999\n1024\n", &data)));
    family.case("1.0: more stored than the pieces have", one(&real, &mapped("1\n0\n512\n", &data)));
    family.case("1.0: less stored than the pieces have", one(&real, &mapped("1\n0\n2048\n", &data)));
    family.case("1.0: no real size", one(&[], &mapped("1\n0\n1024\n", &data)));
    family.case(
        "1.0: a name that climbs",
        pax(
            &[("major", "1"), ("minor", "0"), ("name", "../real"), ("realsize", "10000")],
            &mapped("1\n0\n1024\n", &data),
        ),
    );
    family.case(
        "2.0, which is not there yet",
        pax(&[("major", "2"), ("minor", "0"), ("name", "real"), ("realsize", "10000")], &mapped("1\n0\n1024\n", &data)),
    );
    family.case("a sparse directory", [one(&real, b"")[0].clone(), Member::directory("d/")]);
    family.case("a sparse link", [one(&real, b"")[0].clone(), Member::symlink("l", "t")]);
    family.case("nothing but holes, an exabyte of them", zero(&[("map", ""), ("size", "1152921504606846976")], b""));
    family.case("holes of 2^63", zero(&[("map", ""), ("size", "9223372036854775808")], b""));
}

//! Archives made by hand, byte by byte, and what is read from them.

use std::io::Cursor;

use super::super::{Xattr, scan};
use super::*;

/// A header block: name, type, size, and whatever the closure changes before the sum is made.
fn header(name: &str, flag: u8, size: u64, change: impl FnOnce(&mut [u8; 512])) -> Vec<u8> {
    let mut block = [0; 512];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[100..108].copy_from_slice(b"0000644\0");
    block[108..116].copy_from_slice(b"0000001\0");
    block[116..124].copy_from_slice(b"0000002\0");
    block[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
    block[136..148].copy_from_slice(b"00000000003\0");
    block[156] = flag;
    block[257..265].copy_from_slice(b"ustar\x0000");
    change(&mut block);
    block[148..156].fill(b' ');
    let sum: u64 = block.iter().map(|&byte| u64::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block.to_vec()
}

fn padded(mut data: Vec<u8>) -> Vec<u8> {
    data.resize(data.len().next_multiple_of(512), 0);
    data
}

fn pax(records: &[(&str, &[u8])]) -> Vec<u8> {
    extended(b'x', records)
}

fn extended(flag: u8, records: &[(&str, &[u8])]) -> Vec<u8> {
    let body: Vec<u8> = records.iter().flat_map(|(key, value)| record(key, value)).collect();
    [header("pax", flag, body.len() as u64, |_| {}), padded(body)].concat()
}

fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = [b" ", key.as_bytes(), b"=", value, b"\n"].concat();
    let mut length = rest.len() + 1;
    while rest.len() + length.to_string().len() != length {
        length += 1;
    }
    [length.to_string().as_bytes(), &rest].concat()
}

fn pushed(archive: &[u8], step: usize) -> Result<Vec<Member>, ArchiveError> {
    let mut members = Vec::new();
    let mut parser = Parser::new();
    for piece in archive.chunks(step) {
        parser.push::<ArchiveError>(piece, &mut |member| {
            members.push(member);
            Ok(())
        })?;
    }
    assert_eq!(parser.finish()?, archive.len() as u64);
    Ok(members)
}

/// Reads an archive in all ways there are, which must agree.
fn read(archive: &[u8]) -> Result<Vec<Member>, ArchiveError> {
    let whole = pushed(archive, usize::MAX);
    let mut members = Vec::new();
    let scanned = scan::<_, ArchiveError>(&mut Cursor::new(archive), |member| {
        members.push(member);
        Ok(())
    })
    .map(|_| members);
    for other in [pushed(archive, 1), pushed(archive, 700), scanned] {
        match (&whole, other) {
            (Ok(whole), Ok(other)) => assert_eq!(*whole, other),
            (Err(whole), Err(other)) => assert_eq!(format!("{whole:?}"), format!("{other:?}")),
            (whole, other) => panic!("{whole:?}\n{other:?}"),
        }
    }
    whole
}

fn read_one(parts: &[&[u8]]) -> Member {
    let members = read(&[parts.concat(), vec![0; 1024]].concat()).unwrap();
    assert_eq!(members.len(), 1, "{members:?}");
    members.into_iter().next().unwrap()
}

fn fault_of(parts: &[&[u8]]) -> (u64, Fault) {
    let error = read(&parts.concat()).unwrap_err();
    (error.offset, error.fault)
}

#[test]
fn a_plain_member_says_where_its_data_is() {
    let archive =
        [header("a", b'0', 5, |_| {}), padded(b"hello".to_vec()), header("b", 0, 0, |_| {}), vec![0; 1024]].concat();
    let members = read(&archive).unwrap();
    assert_eq!(members[0].kind, MemberKind::File(Content::Whole { size: 5, offset: 512 }));
    assert_eq!((members[0].mode, members[0].uid, members[0].gid), (0o644, 1, 2));
    assert_eq!(members[0].mtime, Time { seconds: 3, nanos: 0 });
    assert_eq!((members[1].path.as_slice(), members[1].offset), (&b"b"[..], 1024));
}

#[test]
fn every_kind_is_known() {
    let link = |block: &mut [u8; 512]| block[157..160].copy_from_slice(b"x/y");
    let device = |block: &mut [u8; 512]| {
        block[329..337].copy_from_slice(b"0000010\0");
        block[337..345].copy_from_slice(b"3777777\0");
    };
    let number = DeviceNumber { major: 8, minor: 0o3_777_777 };
    for (flag, name, kind) in [
        (b'1', "n", MemberKind::HardLink(b"x/y".to_vec())),
        (b'2', "n", MemberKind::Symlink(b"x/y".to_vec())),
        (b'5', "n", MemberKind::Directory),
        (b'0', "n/", MemberKind::Directory),
        (b'6', "n", MemberKind::Fifo),
        (b'7', "n", MemberKind::File(Content::Whole { size: 0, offset: 512 })),
    ] {
        assert_eq!(read_one(&[&header(name, flag, 0, link)]).kind, kind, "{}", char::from(flag));
    }
    assert_eq!(read_one(&[&header("n", b'3', 0, device)]).kind, MemberKind::CharDevice(number));
    assert_eq!(read_one(&[&header("n", b'4', 0, device)]).kind, MemberKind::BlockDevice(number));
    // A link's size is that of what it names; no data follows.
    assert_eq!(read_one(&[&header("n", b'1', 99, link)]).kind, MemberKind::HardLink(b"x/y".to_vec()));
}

#[test]
fn pax_records_override_the_header() {
    let long = vec![b'p'; 3000];
    let member = read_one(&[
        &extended(b'g', &[("gid", b"77"), ("comment", b"x")]),
        &pax(&[
            ("path", &long),
            ("uid", b"4000000000"),
            ("mtime", b"-1.5"),
            ("size", b"1"),
            ("SCHILY.xattr.security.capability", b"\x01\0\0\x02"),
        ]),
        &header("short", b'0', 0, |_| {}),
        &padded(vec![1]),
    ]);
    assert_eq!(member.path, long);
    assert_eq!((member.uid, member.gid), (4_000_000_000, 77));
    assert_eq!(member.mtime, Time { seconds: -2, nanos: 500_000_000 });
    assert!(matches!(member.kind, MemberKind::File(Content::Whole { size: 1, .. })));
    let value = b"\x01\0\0\x02".to_vec();
    assert_eq!(member.xattrs, [Xattr { name: b"security.capability".to_vec(), value }]);
}

#[test]
fn gnu_long_names_end_at_their_nul() {
    let name = [vec![b'n'; 600], vec![0]].concat();
    let member = read_one(&[
        &header("././@LongLink", b'K', 4, |_| {}),
        &padded(b"to\0x".to_vec()),
        &header("././@LongLink", b'L', 601, |_| {}),
        &padded(name.clone()),
        &header("nnn", b'2', 0, |_| {}),
    ]);
    assert_eq!(member.path, name[..600]);
    assert_eq!(member.kind, MemberKind::Symlink(b"to".to_vec()));
}

#[test]
fn a_size_beyond_eight_gigabytes_is_base_256() {
    let archive = header("big", b'0', 0, |block| {
        block[124..136].copy_from_slice(&[0x80, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 1]);
    });
    let mut parser = Parser::new();
    let mut size = 0;
    parser
        .push::<ArchiveError>(&archive, &mut |member| {
            let MemberKind::File(content) = member.kind else { panic!("not a file") };
            size = content.size();
            Ok(())
        })
        .unwrap();
    assert_eq!(size, (9 << 32) + 1);
    assert_eq!(parser.skippable(), (9 << 32) + 512);
    assert!(matches!(parser.finish().unwrap_err().fault, Fault::Truncated { .. }));
}

fn sparse(member: Member) -> SparseFile {
    match member.kind {
        MemberKind::File(Content::Sparse(file)) => *file,
        kind => panic!("not sparse: {kind:?}"),
    }
}

fn old_entry(offset: u64, length: u64) -> Vec<u8> {
    format!("{offset:011o}\0{length:011o}\0").into_bytes()
}

#[test]
fn all_four_kinds_of_sparse_files_say_the_same() {
    let data = padded(vec![7; 1536]);
    let size = 9000_u64;
    // The header has room for four pieces; the others stand in a block of their own.
    let entries = [old_entry(1024, 512), old_entry(4096, 0), old_entry(4096, 0), old_entry(4096, 512)].concat();
    let more = padded([old_entry(8192, 512), old_entry(size, 0)].concat());
    let old = sparse(read_one(&[
        &header("s", b'S', 1536, |block| {
            block[257..265].copy_from_slice(b"ustar  \0");
            block[386..482].copy_from_slice(&entries);
            block[482] = 1;
            block[483..495].copy_from_slice(format!("{size:011o}\0").as_bytes());
        }),
        &more,
        &data,
    ]));
    let pieces: Vec<_> = old.extents().iter().map(|extent| (extent.offset, extent.length)).collect();
    assert_eq!(pieces, [(1024, 512), (4096, 512), (8192, 512)]);
    assert_eq!((old.size(), old.extents()[0].position), (size, 1024));

    let size = size.to_string().into_bytes();
    let mut records = vec![("GNU.sparse.size", size.as_slice())];
    for (at, length) in [("1024", "512"), ("4096", "512"), ("8192", "512")] {
        records.extend([("GNU.sparse.offset", at.as_bytes()), ("GNU.sparse.numbytes", length.as_bytes())]);
    }
    let zero = read_one(&[&pax(&records), &header("s", b'0', 1536, |_| {}), &data]);
    let map = b"1024,512,4096,512,8192,512".as_slice();
    let one = read_one(&[
        &pax(&[("GNU.sparse.size", &size), ("GNU.sparse.name", b"real"), ("GNU.sparse.map", map)]),
        &header("GNUSparseFile.1/s", b'0', 1536, |_| {}),
        &data,
    ]);
    assert_eq!(one.path, b"real");
    let records: &[(&str, &[u8])] = &[
        ("GNU.sparse.major", b"1"),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.name", b"real"),
        ("GNU.sparse.realsize", &size),
    ];
    let text = padded(b"3\n1024\n512\n4096\n512\n8192\n512\n".to_vec());
    let two = read_one(&[&pax(records), &header("GNUSparseFile.1/s", b'0', 2048, |_| {}), &text, &data]);
    assert_eq!(two.path, b"real");
    for file in [sparse(zero), sparse(one), sparse(two)] {
        let found: Vec<_> = file.extents().iter().map(|extent| (extent.offset, extent.length)).collect();
        assert_eq!((found, file.size()), (pieces.clone(), old.size()));
    }
}

#[test]
fn bytes_of_a_sparse_file_that_cannot_be_pointed_at_are_kept() {
    let data: Vec<u8> = (0..=255).cycle().take(300).collect();
    let member = read_one(&[
        &pax(&[("GNU.sparse.size", b"5000"), ("GNU.sparse.map", b"10,100,4100,200")]),
        &header("s", b'0', 300, |_| {}),
        &padded(data.clone()),
    ]);
    assert_eq!(sparse(member).copied(), data);
}

#[test]
fn what_is_not_an_archive_is_told_from_one_with_the_offset() {
    let good = [header("a", b'0', 600, |_| {}), padded(vec![1; 600])].concat();
    let mut bad = header("b", b'0', 0, |_| {});
    bad[3] ^= 1;
    assert!(matches!(fault_of(&[&good, &bad]), (1536, Fault::Checksum)));
    assert!(matches!(fault_of(&[b"\x1f\x8b\x08", &[1; 600]]), (0, Fault::Checksum)));
    assert!(matches!(fault_of(&[&good[..700]]), (700, Fault::Truncated { .. })));
    assert!(matches!(fault_of(&[&good, &good[..300]]), (1836, Fault::Truncated { .. })));
    assert!(matches!(fault_of(&[&pax(&[("path", b"x")])]), (1024, Fault::Orphan)));
    assert!(matches!(fault_of(&[&pax(&[("path", b"x")]), &[0; 1024]]), (1024, Fault::Orphan)));
    assert!(matches!(fault_of(&[&header("x", b'x', 5 << 20, |_| {})]), (0, Fault::TooLong { .. })));
    assert!(matches!(fault_of(&[&header("x", b'Z', 0, |_| {})]), (0, Fault::Type { flag: b'Z' })));
}

#[test]
fn numbers_that_lie_are_refused() {
    for (field, text) in [(124..136, &b"77777777777\0"[..]), (108..116, b"abcdefg\0"), (329..337, b"7777777\0")] {
        let archive = header("n", if field.start == 329 { b'3' } else { b'0' }, 0, |block| {
            block[field.clone()].copy_from_slice(text);
        });
        let (_, fault) = fault_of(&[&archive]);
        assert!(matches!(fault, Fault::Number { .. } | Fault::Truncated { .. }), "{text:?}: {fault:?}");
    }
    let huge = header("n", b'0', 0, |block| {
        block[124..136].copy_from_slice(&[0x80, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    });
    assert!(matches!(fault_of(&[&huge]).1, Fault::Truncated { .. } | Fault::Number { .. }));
    for uid in [&b"4294967295"[..], b"99999999999"] {
        assert!(matches!(fault_of(&[&pax(&[("uid", uid)]), &header("n", b'0', 0, |_| {})]).1, Fault::Number { .. }));
    }
}

#[test]
fn an_archive_may_be_empty_or_lack_its_end() {
    assert_eq!(read(&[]).unwrap(), []);
    assert_eq!(read(&[0; 512]).unwrap(), []);
    assert_eq!(read(&[0; 10240]).unwrap(), []);
    assert_eq!(read(&header("a", b'0', 0, |_| {})).unwrap().len(), 1);
    // What stands behind the end is nobody's.
    assert_eq!(read(&[vec![0; 512], header("a", b'0', 0, |_| {})].concat()).unwrap(), []);
}

#[test]
fn a_device_has_numbers_where_its_format_has_them() {
    let v7 = |block: &mut [u8; 512]| {
        block[257..265].fill(0);
        block[329..337].copy_from_slice(b"0000010\0");
    };
    assert_eq!(
        read_one(&[&header("b", b'4', 0, v7)]).kind,
        MemberKind::BlockDevice(DeviceNumber { major: 0, minor: 0 })
    );
}

#[test]
fn of_two_headers_before_a_member_the_second_counts() {
    let member = read_one(&[
        &pax(&[("path", b"first"), ("uid", b"7")]),
        &pax(&[("path", b"second")]),
        &header("x", b'0', 0, |_| {}),
    ]);
    assert_eq!((member.path.as_slice(), member.uid), (&b"second"[..], 1));
}

#[test]
fn what_readers_of_sparse_files_understand_in_different_ways_is_refused() {
    let plain = header("s", b'0', 0, |_| {});
    for (records, member) in [
        (&[("GNU.sparse.map", &b"0,0"[..])][..], &plain),
        (&[("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0")], &plain),
        (&[("GNU.sparse.major", b"2"), ("GNU.sparse.realsize", b"9")], &plain),
        (&[("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"1"), ("GNU.sparse.realsize", b"9")], &plain),
        (&[("GNU.sparse.realsize", b"9")], &header("d/", b'5', 0, |_| {})),
        (&[("GNU.sparse.realsize", b"9")], &header("l", b'2', 0, |_| {})),
    ] {
        let (_, fault) = fault_of(&[&pax(records), member]);
        assert!(matches!(fault, Fault::Sparse { .. }), "{records:?}: {fault}");
    }
    let (_, fault) = fault_of(&[&header("s", b'S', 0, |_| {})]);
    assert!(matches!(fault, Fault::Sparse { .. }), "a header of POSIX's has no map: {fault}");
}

#[test]
fn an_empty_map_is_nothing_but_a_hole() {
    let records: [(&str, &[u8]); 2] = [("GNU.sparse.size", b"1000"), ("GNU.sparse.map", b"")];
    let member = read_one(&[&pax(&records), &header("s", b'0', 0, |_| {})]);
    let MemberKind::File(content) = member.kind else { panic!("{member:?}") };
    assert_eq!(content.size(), 1000);
}

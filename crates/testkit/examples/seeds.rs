//! Writes what the fuzz targets (`fuzz/`) start from, a directory for each, into the directory that is named.

use std::error::Error;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use testkit::archives::{self, Case, image};

/// Larger ones would only slow the search down.
const LARGEST: usize = 32 << 10;

fn main() -> Result<(), Box<dyn Error>> {
    let root = std::env::args_os().nth(1).ok_or("usage: seeds DIRECTORY")?;
    let root = Path::new(&root);
    let cases = archives::all();
    write(root, "layer", cases.iter().filter_map(layers))?;
    write(root, "load", cases.iter().step_by(9).flat_map(images))?;
    write(root, "manifest", manifests().iter().map(bytes))?;
    write(root, "config", configs().iter().map(bytes))?;
    write(root, "answers", scripts().into_iter())?;
    write(root, "reference", REFERENCES.iter().map(|text| text.as_bytes().to_vec()))?;
    write(root, "dockerfile", DOCKERFILES.iter().map(|text| text.as_bytes().to_vec()))?;
    write(root, "ignore", IGNORES.iter().map(|text| text.as_bytes().to_vec()))?;
    write(root, "expand", WORDS.iter().map(|text| text.as_bytes().to_vec()))?;
    Ok(())
}

fn write(root: &Path, target: &str, seeds: impl Iterator<Item = Vec<u8>>) -> std::io::Result<()> {
    let directory = root.join(target);
    fs::create_dir_all(&directory)?;
    let seeds = seeds.filter(|seed| seed.len() <= LARGEST);
    seeds.enumerate().try_for_each(|(number, seed)| fs::write(directory.join(format!("seed-{number:03}")), seed))
}

/// One or two layers, behind what the target wants to know of them.
fn layers(case: &Case) -> Option<Vec<u8>> {
    let (lower, rest) = case.layers.split_first()?;
    let blocks = if rest.is_empty() { 0 } else { u16::try_from(lower.bytes.len() / 512).ok()? };
    // Checksums made to fit, the tar given block by block.
    let mut seed = vec![147];
    seed.extend(blocks.to_le_bytes());
    seed.extend(&lower.bytes);
    seed.extend(rest.iter().take(1).flat_map(|layer| &layer.bytes));
    Some(seed)
}

fn images(case: &Case) -> [Vec<u8>; 2] {
    [image::docker("seed:1", &case.layers), image::layout("seed:1", &case.layers)]
        .map(|bytes| [vec![1], bytes].concat())
}

fn bytes(document: &Value) -> Vec<u8> {
    document.to_string().into_bytes()
}

const DIGEST: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

fn described(kind: &str) -> Value {
    json!({ "mediaType": kind, "digest": DIGEST, "size": 7 })
}

fn manifests() -> Vec<Value> {
    let oci = described("application/vnd.oci.image.config.v1+json");
    let docker = described("application/vnd.docker.container.image.v1+json");
    let mut image = described("application/vnd.oci.image.manifest.v1+json");
    image["platform"] = json!({ "os": "linux", "architecture": "amd64" });
    let mut other = image.clone();
    other["platform"] = json!({ "os": "linux", "architecture": "arm64", "variant": "v8" });
    other["annotations"] = json!({ "org.opencontainers.image.ref.name": "a:1" });
    vec![
        json!({ "schemaVersion": 2, "config": oci, "layers": [described("application/vnd.oci.image.layer.v1.tar+gzip")] }),
        json!({ "schemaVersion": 2, "config": docker, "layers": [described("application/vnd.docker.image.rootfs.diff.tar.gzip")] }),
        json!({ "schemaVersion": 2, "manifests": [image, other] }),
        json!({ "manifests": [described("")] }),
        json!({ "config": oci, "layers": [], "manifests": [] }),
        json!({ "schemaVersion": 1, "fsLayers": [] }),
    ]
}

fn configs() -> Vec<Value> {
    // The SHA-256 of the two blocks of zeros that are an empty layer.
    let empty = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";
    let config = json!({
        "User": "1000:1000", "ExposedPorts": { "80/tcp": {} }, "Env": ["PATH=/bin", "A="], "Entrypoint": ["/bin/sh"],
        "Cmd": ["-c", "true"], "Volumes": { "/data": {} }, "WorkingDir": "/", "Labels": { "a": "b" },
        "StopSignal": "SIGTERM", "Healthcheck": { "Test": ["NONE"] },
    });
    let whole = json!({
        "architecture": "amd64", "os": "linux", "created": "2025-01-01T00:00:00.5Z", "author": "somebody",
        "config": config, "history": [{ "created": "2025-01-01T00:00:00Z", "created_by": "x", "empty_layer": true }],
        "rootfs": { "type": "layers", "diff_ids": [] },
    });
    let mut one = whole.clone();
    one["rootfs"]["diff_ids"] = json!([empty]);
    let mut two = one.clone();
    two["rootfs"]["diff_ids"] = json!([empty, empty]);
    two["variant"] = json!("v8");
    vec![whole, one, two, json!({ "architecture": "", "os": "", "rootfs": { "type": "", "diff_ids": [] } })]
}

/// Conversations with a registry: what is asked, how it comes, and the answers. The first is to the question which protocol it
/// speaks.
fn scripts() -> Vec<Vec<u8>> {
    const BLOB: &str = "these are the bytes of a blob, and a few more of them, so that it comes in parts";
    let digest = oci::Digest::of(BLOB.as_bytes());
    let answer = |head: &str, body: &str| {
        let head = if head.contains('\n') { head.replace('\n', "\r\n") } else { head.to_owned() };
        format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    };
    let challenge = answer(
        "401 Unauthorized\nWWW-Authenticate: Bearer realm=\"http://127.0.0.1:5001/token\",service=\"s\",scope=\"repository:team/box:pull\"",
        "",
    );
    let token =
        answer("200 OK", r#"{"token":"abc","expires_in":300,"issued_at":"2025-01-01T00:00:00Z","refresh_token":"r"}"#);
    let manifest = manifests().swap_remove(0).to_string();
    let manifest = answer("200 OK\nContent-Type: application/vnd.oci.image.manifest.v1+json", &manifest);
    let (up, at) =
        ("202 Accepted\nLocation: /v2/team/box/blobs/uploads/1", "201 Created\nLocation: /v2/team/box/blobs/x");
    let gone = answer("404 Not Found", r#"{"errors":[{"code":"NAME_UNKNOWN","message":"x","detail":{"a":1}}]}"#);
    let busy = answer("503 Service Unavailable\nRetry-After: 0", "later");
    let aside = answer("307 Temporary Redirect\nLocation: https://127.0.0.1:5002/blob?x=y", "");
    let half = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}", BLOB.len(), &BLOB[..40]);
    let rest = format!("206 Partial Content\nContent-Range: bytes 40-{}/{}", BLOB.len() - 1, BLOB.len());
    let pages = [r#"{"name":"team/box","tags":["1","2"]}"#, r#"{"repositories":["a","b/c"]}"#];
    let pages = pages.map(|page| answer("200 OK\nLink: </v2/team/box/tags/list?last=2&n=1000>; rel=\"next\"", page));
    let chunked =
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{BLOB}\r\n0\r\n\r\n", BLOB.len());
    let index = manifests().swap_remove(2).to_string();
    let created = answer(&format!("{at}\nDocker-Content-Digest: {digest}"), "");
    let ok = answer("200 OK\nDocker-Distribution-API-Version: registry/2.0", "");
    let (up, more) =
        (answer(up, ""), answer(&format!("{up}\nRange: 0-{}\nOCI-Chunk-Min-Length: 16", BLOB.len() - 1), ""));
    let talks: [(u8, Vec<&String>); 19] = [
        (0, vec![&manifest]),
        (0, vec![&challenge, &token, &manifest]),
        (0, vec![&busy, &busy, &gone]),
        (1, vec![&chunked]),
        (2, vec![&created]),
        (3, vec![&pages[0], &pages[0], &pages[0]]),
        (4, vec![&gone, &manifest]),
        (4, vec![&gone]),
        (5, vec![&aside, &chunked]),
        (5, vec![&half, &half]),
        (5, vec![&challenge, &token, &aside, &chunked]),
        (5, vec![&busy, &aside, &half]),
        (6, vec![&up, &created]),
        (6, vec![&challenge, &token, &up, &busy, &up, &created]),
        (7, vec![&up, &more, &created, &created]),
        (7, vec![&up, &busy, &more, &more, &created, &challenge, &token, &created]),
        (8, vec![&pages[1], &pages[1]]),
        (9, vec![&challenge, &token, &ok]),
        (9, vec![&challenge, &gone, &gone]),
    ];
    let index = answer("200 OK\nContent-Type: application/vnd.oci.image.index.v1+json", &index);
    let (rest, refer) = (answer(&rest, &BLOB[40..]), (4, vec![&index]));
    let resumed = (5, vec![&half, &rest]);
    let talks = talks.into_iter().chain([refer, resumed]);
    let script = |(task, answers): (u8, Vec<&String>)| {
        let answers: Vec<&str> = std::iter::once(&ok).chain(answers).map(String::as_str).collect();
        [&[task, if task % 2 == 0 { 0 } else { 7 }], answers.join("\n~~\n").as_bytes()].concat()
    };
    talks.map(script).collect()
}

const REFERENCES: &[&str] = &[
    "mydebian",
    "debian:bookworm",
    "localhost:5000/a/b__c/d---e:B_1.2-x",
    "[fe80::1]:5000/a",
    "Example.org/a@sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    "eg/a:1@sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    "linux/arm64/v8",
    "../a",
];

const DOCKERFILES: &[&str] = &[
    "# syntax=docker/dockerfile:1\n# escape=`\n# check=skip=all;error=true\nARG V=1\n\
     FROM --platform=$BUILDPLATFORM a:$V AS b\n\
     RUN a `\n  # c\n\n  && d\nFROM b\n\
     COPY --from=b --chown=a:b --chmod=u+rwX --link --parents --exclude=*.md x y/ /z/\n",
    "FROM scratch\nRUN --mount=type=cache,target=/c,sharing=locked --mount=type=secret,id=s,env=S --network=none \\\n \
     cat <<A <<-'B'\n\
     1\nA\n\t2\n\tB\nCOPY <<EOF <<\"F\" /x/\n${a:-b}\nEOF\n$c\nF\nONBUILD COPY <<EOF /y\nz\nEOF\n",
    "FROM a\nENV a=1 b=\"$a c\" d=e\\ f\nENV g h\nLABEL \"i j\"='k'\nARG l m=${n:-o}\n\
     WORKDIR p\nUSER q:r\nVOLUME [\"/s\"] \n\
     EXPOSE 80 8000-8002/udp $t\nSTOPSIGNAL 9\nSHELL [\"/bin/sh\", \"-c\"]\nCMD [\"u\"]\nENTRYPOINT v\nMAINTAINER w\n\
     HEALTHCHECK --interval=1m30s --timeout=3s --retries=2 CMD x\nADD --checksum=sha256:0 --unpack=true https://y z\n",
];

const IGNORES: &[&str] = &[
    "*\n!src\nsrc/**/*.o\n# a comment\n\0src/a/b.o",
    "a/**/b\n**c\n!**/d?\n[a-c]*/[^x]\n\0a/x/y/b",
    "**/node_modules\n/b/../c/\n\\!e\n\0c/d",
];

const WORDS: &[&str] = &[
    "$a ${b} ${c:-d} ${e+f} ${a:?g}",
    "${c#*/}${c##*c}${c%?}${c%%\\?*}${a/x/y}${a// /${b:-z}}",
    "'$a' \"$a\\\"\" a\\ b \\$c",
    "`$a`` \"`$b\"",
];

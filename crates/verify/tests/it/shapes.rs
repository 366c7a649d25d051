//! Falsified files: each structural change by somebody without the key, or with the right key and
//! the wrong bytes, is refused by the check of that name.

use ed25519_dalek::SigningKey;
use seamline_core::receipt::MAX_CORE;
use seamline_core::sha256;
use seamline_verify::{Level, Outcome, Status};

use crate::fixture::{SEED, World};
use crate::forge::{Forge, Node, key};

const MALLORY: [u8; 32] = [0x66; 32];

/// What a mutation does: it gets the receipt taken apart and returns the file.
pub(crate) type Mutation = fn(Forge) -> Vec<u8>;

/// Signs as the recorder does.
fn resigned(mut forge: Forge) -> Vec<u8> {
    forge.sign(&SEED);
    forge.close()
}

fn core(mut forge: Forge, change: impl FnOnce(&mut Node)) -> Vec<u8> {
    change(&mut forge.core);
    resigned(forge)
}

fn flip(bytes: &mut [u8]) {
    bytes[0] ^= 1;
}

fn leaf(forge: &mut Forge, index: usize) -> &mut Node {
    &mut forge.leaves.items()[index]
}

/// 2^252 + 27742317777372353535851937790883648493, little-endian: the order of the base point.
const L: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

fn add_order(s: &mut [u8]) {
    let mut carry = 0u16;
    for (digit, order) in s.iter_mut().zip(L) {
        let sum = u16::from(*digit) + u16::from(order) + carry;
        *digit = u8::try_from(sum & 0xff).unwrap();
        carry = sum >> 8;
    }
}

pub(crate) const MUTATIONS: &[(&str, &str, Mutation)] = &[
    ("empty file", "format.version", |_| Vec::new()),
    ("other magic", "format.version", |mut f| {
        f.magic = b"SEAM2".to_vec();
        f.close()
    }),
    ("text before the magic", "format.version", |f| {
        [b" ".to_vec(), f.close()].concat()
    }),
    ("truncated", "format.encoding", |f| {
        let mut file = f.close();
        file.pop();
        file
    }),
    ("only the magic", "format.encoding", |f| f.magic),
    ("byte appended", "format.encoding", |f| {
        [f.close(), vec![0]].concat()
    }),
    ("byte inserted", "format.encoding", |f| {
        let mut file = f.close();
        file.insert(400, 0);
        file
    }),
    ("byte deleted", "format.encoding", |f| {
        let mut file = f.close();
        file.remove(400);
        file
    }),
    ("two receipts in one file", "format.encoding", |f| {
        [f.close(), f.close()].concat()
    }),
    ("longer head than needed", "format.encoding", |f| {
        core(f, |core| core.entries()[2].1 = Node::Raw(vec![0x18, 0x07]))
    }),
    ("indefinite array", "format.encoding", |mut f| {
        f.leaves = Node::Raw([vec![0x9f], f.leaves.encode()[1..].to_vec(), vec![0xff]].concat());
        f.close()
    }),
    ("repeated key", "format.encoding", |f| {
        core(f, |core| {
            let twice = core.entries()[2].clone();
            core.entries().insert(2, twice);
        })
    }),
    ("keys out of order", "format.encoding", |f| {
        core(f, |core| core.entries().swap(3, 4))
    }),
    ("key unknown to the core", "format.encoding", |f| {
        core(f, |core| core.entries().push((Node::Uint(99), Node::Null)))
    }),
    ("key missing in the core", "format.encoding", |f| {
        core(f, |core| {
            core.entries().pop();
        })
    }),
    ("key unknown to the bundle", "format.encoding", |mut f| {
        f.extra.push((Node::Uint(3), Node::Null));
        f.close()
    }),
    ("float in the core", "format.encoding", |f| {
        core(f, |core| {
            *core.at(key::SEQ) = Node::Raw(vec![0xf9, 0x47, 0x00]);
        })
    }),
    ("nesting beyond the bound", "format.encoding", |f| {
        core(f, |core| {
            *core.at(key::ENGINE) = Node::Raw([vec![0x81; 9], vec![0]].concat());
        })
    }),
    ("count without items", "format.encoding", |mut f| {
        f.leaves = Node::Raw(vec![0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
        f.close()
    }),
    ("letters beyond ASCII", "format.encoding", |f| {
        core(f, |core| {
            *core.at(key::ENGINE) = Node::Text("se\u{0430}mline".to_owned());
        })
    }),
    ("terminal escape", "format.encoding", |f| {
        core(f, |core| {
            *core.at(key::ENGINE) = Node::Text("\u{1b}[2J".to_owned());
        })
    }),
    ("text that is no UTF-8", "format.encoding", |f| {
        core(f, |core| {
            *core.at(key::ENGINE) = Node::Raw(vec![0x62, 0xc3, 0x28]);
        })
    }),
    ("unknown outcome", "format.encoding", |f| {
        core(f, |core| *core.at(key::OUTCOME) = Node::Uint(9))
    }),
    ("unknown kind of event", "format.encoding", |f| {
        core(f, |core| core.at(key::KINDS).bytes()[1] = 200)
    }),
    ("unknown hesitation", "format.encoding", |f| {
        core(f, |core| {
            core.at(key::HESITATIONS).items()[0].items()[0] = Node::Uint(250);
        })
    }),
    ("amount with a leading zero", "format.encoding", |f| {
        core(f, |core| {
            core.at(key::COST).items()[3] = Node::Bytes(vec![0, 1]);
        })
    }),
    (
        "count that is not that of the kinds",
        "format.encoding",
        |f| core(f, |core| *core.at(key::EVENT_COUNT) = Node::Uint(3)),
    ),
    ("evidence table out of order", "format.encoding", |f| {
        core(f, |core| core.at(key::EVIDENCE).items().swap(0, 1))
    }),
    ("event with a field too many", "format.encoding", |mut f| {
        let event = leaf(&mut f, 3).items()[1].bytes();
        let mut node = Node::parse(event);
        node.items().push(Node::Null);
        *event = node.encode();
        f.close()
    }),
    ("core beyond the bound", "format.size", |f| {
        core(f, |core| {
            *core.at(key::ENGINE) = Node::Text("x".repeat(MAX_CORE));
        })
    }),
    ("file beyond the bound", "format.size", |mut f| {
        f.extra.push((Node::Uint(3), Node::Bytes(vec![0; 4 << 20])));
        f.close()
    }),
    ("too many events", "format.size", |mut f| {
        f.leaves = Node::Array(vec![Node::Bytes(vec![0; 32]); 4_097]);
        f.close()
    }),
    ("too much evidence", "format.size", |mut f| {
        let blob = |byte: u8| (Node::Bytes(vec![byte; 32]), Node::Bytes(Vec::new()));
        f.blobs = Node::Map((0..65).map(blob).collect());
        f.close()
    }),
    ("no tag", "format.encoding", |mut f| {
        f.tag = Vec::new();
        f.close()
    }),
    ("tag of COSE_Mac0", "format.encoding", |mut f| {
        f.tag = vec![0xd1];
        f.close()
    }),
    ("other algorithm", "format.envelope", |mut f| {
        *f.protected.at(1) = Node::Int(-7);
        f.sign_as_it_is(&SEED);
        f.close()
    }),
    ("other key id", "format.envelope", |mut f| {
        flip(f.protected.at(4).bytes());
        f.sign_as_it_is(&SEED);
        f.close()
    }),
    ("other type", "format.envelope", |mut f| {
        *f.protected.at(16) = Node::Text("application/cbor".to_owned());
        f.sign_as_it_is(&SEED);
        f.close()
    }),
    ("protected header with more", "format.envelope", |mut f| {
        f.protected.entries().push((Node::Uint(17), Node::Null));
        f.sign_as_it_is(&SEED);
        f.close()
    }),
    ("unprotected header", "format.envelope", |mut f| {
        f.unprotected = Node::Map(vec![(Node::Uint(4), Node::Bytes(vec![1]))]);
        f.close()
    }),
    ("zero signature", "receipt.signature", |mut f| {
        f.signature = vec![0; 64];
        f.close()
    }),
    ("signature of another receipt", "receipt.signature", |f| {
        let mut other = f.clone();
        *other.core.at(key::SEQ) = Node::Uint(8);
        other.sign(&SEED);
        Forge {
            signature: other.signature,
            ..f
        }
        .close()
    }),
    ("signature with s + L", "receipt.signature", |mut f| {
        add_order(&mut f.signature[32..]);
        f.close()
    }),
    (
        "signature for another purpose",
        "receipt.signature",
        |mut f| {
            f.aad = b"seamline/v1/checkpoint".to_vec();
            f.sign(&SEED);
            f.close()
        },
    ),
    ("signature by another key", "format.envelope", |mut f| {
        f.sign(&MALLORY);
        f.close()
    }),
    (
        "signature by another key under the right key id",
        "receipt.signature",
        |mut f| {
            f.sign_as_it_is(&MALLORY);
            f.close()
        },
    ),
    ("key of small order", "receipt.signature", |mut f| {
        let mut identity = vec![0; 32];
        identity[0] = 1;
        *f.core.at(key::RECORDER) = Node::Bytes(identity.clone());
        *f.protected.at(4) = Node::Bytes(sha256(&[&identity])[..8].to_vec());
        // R = identity, s = 0 verifies every message under such a key.
        f.signature = [identity, vec![0; 32]].concat();
        f.close()
    }),
    (
        "core edited without signing",
        "receipt.signature",
        |mut f| {
            *f.core.at(key::OUTCOME) = Node::Uint(2);
            f.close()
        },
    ),
    ("event dropped", "events.kinds", |mut f| {
        f.leaves.items().remove(3);
        f.close()
    }),
    ("event repeated", "events.kinds", |mut f| {
        let twice = leaf(&mut f, 3).clone();
        f.leaves.items().insert(3, twice);
        f.close()
    }),
    ("events swapped", "events.kinds", |mut f| {
        f.leaves.items().swap(2, 3);
        f.close()
    }),
    ("kinds vector edited", "events.kinds", |f| {
        core(f, |core| core.at(key::KINDS).bytes().swap(2, 3))
    }),
    ("hidden events swapped", "events.root", |mut f| {
        let hash = |leaf: &mut Node| match leaf {
            Node::Array(parts) => {
                let (mut salt, mut event) = (parts[0].clone(), parts[1].clone());
                Node::Bytes(sha256(&[&[0], salt.bytes(), event.bytes()]).to_vec())
            }
            other => other.clone(),
        };
        // Two requests: the same kind, so the kinds do not show it.
        let (a, b) = (hash(leaf(&mut f, 6)), hash(leaf(&mut f, 10)));
        *leaf(&mut f, 6) = b;
        *leaf(&mut f, 10) = a;
        f.close()
    }),
    ("event moved in time", "events.root", |mut f| {
        let event = leaf(&mut f, 3).items()[1].bytes();
        let mut node = Node::parse(event);
        node.items()[1] = Node::Uint(49_999);
        *event = node.encode();
        f.close()
    }),
    ("event shown with another salt", "events.root", |mut f| {
        flip(leaf(&mut f, 3).items()[0].bytes());
        f.close()
    }),
    ("hidden leaf edited", "events.root", |mut f| {
        *leaf(&mut f, 3) = Node::Bytes(vec![7; 32]);
        f.close()
    }),
    ("event root edited", "events.root", |f| {
        core(f, |core| flip(core.at(key::EVENT_ROOT).bytes()))
    }),
    ("evidence edited", "evidence.table", |mut f| {
        flip(f.blobs.entries()[0].1.bytes());
        f.close()
    }),
    ("evidence added", "evidence.table", |mut f| {
        let blob = b"something".to_vec();
        let hash = Node::Bytes(sha256(&[&blob]).to_vec());
        f.blobs.entries().push((hash, Node::Bytes(blob)));
        f.blobs.entries().sort_by_key(|(hash, _)| hash.encode());
        f.close()
    }),
    (
        "evidence under another's hash",
        "evidence.table",
        |mut f| {
            let first = f.blobs.entries()[0].1.clone();
            f.blobs.entries()[1].1 = first;
            f.close()
        },
    ),
    ("evidence not in the table", "evidence.table", |f| {
        core(f, |core| {
            core.at(key::EVIDENCE).items().remove(0);
        })
    }),
    ("length in the table edited", "evidence.table", |f| {
        core(f, |core| {
            core.at(key::EVIDENCE).items()[0].items()[2] = Node::Uint(1);
        })
    }),
    ("number edited by the recorder", "recorder.call_id", |f| {
        core(f, |core| *core.at(key::SEQ) = Node::Uint(8))
    }),
    ("call id edited by the recorder", "recorder.call_id", |f| {
        core(f, |core| flip(core.at(key::CALL_ID).bytes()))
    }),
    (
        "receipt taken over by another key",
        "recorder.call_id",
        |mut f| {
            let key = SigningKey::from_bytes(&MALLORY).verifying_key();
            *f.core.at(key::RECORDER) = Node::Bytes(key.as_bytes().to_vec());
            f.sign(&MALLORY);
            f.close()
        },
    ),
    ("open leaf edited", "open.leaf", |f| {
        core(f, |core| flip(core.at(key::OPEN_LEAF).bytes()))
    }),
    ("policy hash edited", "open.fields", |f| {
        core(f, |core| flip(core.at(key::POLICY_HASH).bytes()))
    }),
    ("binding value edited", "binding.h_bind", |f| {
        core(f, |core| flip(core.at(key::H_BIND).bytes()))
    }),
    ("margin edited in the summary", "summary.decisions", |f| {
        core(f, |core| {
            core.at(key::DECISIONS).items()[0].items()[5] = Node::Uint(999_999);
        })
    }),
    (
        "propensity edited in the summary",
        "summary.decisions",
        |f| {
            core(f, |core| {
                core.at(key::DECISIONS).items()[0].items()[8] = Node::Uint(2);
            })
        },
    ),
    ("engine edited in the summary", "summary.decisions", |f| {
        core(f, |core| {
            *core.at(key::ENGINE) = Node::Text("seamline/decide/9".to_owned());
        })
    }),
    ("outcome edited in the summary", "summary.outcome", |f| {
        core(f, |core| *core.at(key::OUTCOME) = Node::Uint(2))
    }),
    ("charge edited in the summary", "summary.outcome", |f| {
        core(f, |core| *core.at(key::CHARGED) = Node::Uint(0))
    }),
    ("cost edited in the summary", "summary.cost", |f| {
        core(f, |core| {
            core.at(key::COST).items()[4] = Node::Bytes(vec![1]);
        })
    }),
    (
        "catalogue root edited in the summary",
        "summary.catalogue",
        |f| core(f, |core| flip(core.at(key::CATALOGUE_ROOT).bytes())),
    ),
    ("dev marker removed", "summary.dev", |f| {
        core(f, |core| core.at(key::MARKS).items()[0] = Node::Bool(false))
    }),
    ("hesitation removed", "hesitations", |f| {
        core(f, |core| {
            core.at(key::HESITATIONS).items().remove(0);
        })
    }),
    ("hesitation added", "hesitations", |f| {
        core(f, |core| {
            let stall = [20, 2, 99, 98, 13].map(Node::Uint).to_vec();
            core.at(key::HESITATIONS).items().push(Node::Array(stall));
        })
    }),
    ("severity edited", "hesitations", |f| {
        core(f, |core| {
            core.at(key::HESITATIONS).items()[0].items()[1] = Node::Uint(2);
        })
    }),
    ("hesitations reordered", "hesitations", |f| {
        core(f, |core| core.at(key::HESITATIONS).items().reverse())
    }),
];

#[test]
fn every_falsified_file_is_refuted_by_the_check_of_that_name() {
    let world = World::new();
    let forge = Forge::open(&world.seal().encode());
    assert_eq!(world.check(&forge.close()).status, Status::Satisfied);
    assert_eq!(
        world.check(&resigned(forge.clone())).status,
        Status::Satisfied
    );
    for (name, expected, mutate) in MUTATIONS {
        let verdict = world.check(&mutate(forge.clone()));
        assert_eq!(verdict.status, Status::Refuted, "{name}");
        let failed = verdict.first_failure().unwrap();
        assert_eq!(failed.claim.id(), *expected, "{name}: {failed:?}");
        assert!(verdict.level <= Level::L0, "{name}");
    }
    assert!(MUTATIONS.len() >= 40, "{}", MUTATIONS.len());
}

#[test]
fn another_version_is_unsupported_and_not_refuted() {
    let world = World::new();
    let forge = Forge::open(&world.seal().encode());
    let file = core(forge, |core| *core.at(key::VERSION) = Node::Uint(2));
    let verdict = world.check(&file);
    assert_eq!(verdict.status, Status::Incomplete);
    assert_eq!(verdict.level, Level::L0);
    assert_eq!(verdict.findings[0].outcome, Outcome::Absent);
    assert_eq!(verdict.findings[0].claim.id(), "format.version");
}

#[test]
fn events_that_were_not_recorded_are_reported() {
    let world = World::new();
    let forge = Forge::open(&world.seal().encode());
    let file = core(forge, |core| core.at(key::MARKS).items()[1] = Node::Uint(5));
    let verdict = world.check(&file);
    let dropped = verdict.about(seamline_verify::Claim::EventsDropped).next();
    assert_eq!(dropped.unwrap().outcome, Outcome::Absent);
}

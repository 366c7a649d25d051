use proptest::prelude::*;

use super::*;

fn hex(text: &str) -> Vec<u8> {
    ::hex::decode(text).unwrap()
}

/// RFC 8949, Appendix A: the rows inside our profile.
const RFC_8949_INTEGERS: [(i64, &str); 14] = [
    (0, "00"),
    (1, "01"),
    (10, "0a"),
    (23, "17"),
    (24, "1818"),
    (25, "1819"),
    (100, "1864"),
    (1000, "1903e8"),
    (1_000_000, "1a000f4240"),
    (1_000_000_000_000, "1b000000e8d4a51000"),
    (-1, "20"),
    (-10, "29"),
    (-100, "3863"),
    (-1000, "3903e7"),
];

#[test]
fn integers_are_those_of_the_rfc() {
    for (value, bytes) in RFC_8949_INTEGERS {
        let mut writer = Writer::new();
        writer.int(value);
        assert_eq!(writer.finish(), hex(bytes), "{value}");
        assert_eq!(Reader::new(&hex(bytes)).unwrap().int(), Ok(value));
    }
    let mut writer = Writer::new();
    writer.uint(u64::MAX);
    assert_eq!(writer.finish(), hex("1bffffffffffffffff"));
}

#[test]
fn strings_and_containers_are_those_of_the_rfc() {
    let mut writer = Writer::new();
    writer.array(4).text("IETF").bytes(&[1, 2, 3, 4]).bool(true);
    writer.map(2).uint(1).uint(2).uint(3).null();
    let bytes = writer.finish();
    assert_eq!(
        bytes,
        hex("8464494554464401020304f5a201020 3f6"
            .replace(' ', "")
            .as_str())
    );
    let mut reader = Reader::new(&bytes).unwrap();
    reader.array_of(4).unwrap();
    assert_eq!(reader.text(), Ok("IETF"));
    assert_eq!(reader.bytes(), Ok(&[1u8, 2, 3, 4][..]));
    assert_eq!(reader.bool(), Ok(true));
    reader.map_of(2).unwrap();
    reader.key(1).unwrap();
    assert_eq!(reader.uint(), Ok(2));
    reader.key(3).unwrap();
    assert_eq!(reader.optional(Reader::uint), Ok(None));
    assert_eq!(reader.finish(), Ok(()));
}

#[test]
fn forms_outside_the_profile_are_refused() {
    let refused = |text: &str| Reader::new(&hex(text)).unwrap_err();
    for text in [
        "1817",
        "190001",
        "1900ff",
        "1a0000ffff",
        "1b00000000ffffffff",
        "5801aa",
    ] {
        assert_eq!(refused(text), Error::NotShortest { at: 0 }, "{text}");
    }
    // Indefinite bytes, text, array, map; floats; undefined; simple values; reserved heads.
    for text in [
        "5f4100ff",
        "7f6100ff",
        "9f00ff",
        "bf0000ff",
        "f90000",
        "fa00000000",
        "fb0000000000000000",
        "f7",
        "e0",
        "f820",
        "1c",
        "ff",
    ] {
        assert_eq!(refused(text), Error::Excluded { at: 0 }, "{text}");
    }
    assert_eq!(refused("0000"), Error::Trailing { at: 1 });
    assert_eq!(refused(""), Error::Truncated { at: 0 });
    assert_eq!(refused("8201"), Error::Truncated { at: 2 });
    assert_eq!(refused("4200"), Error::Truncated { at: 2 });
    assert_eq!(refused("5bffffffffffffffff"), Error::Truncated { at: 9 });
    assert_eq!(refused("9bffffffffffffffff"), Error::Truncated { at: 9 });
    assert_eq!(refused("bbffffffffffffffff"), Error::Truncated { at: 9 });
    assert_eq!(refused("62c328"), Error::NotUtf8 { at: 0 });
}

#[test]
fn map_keys_are_ascending_and_unique() {
    let refused = |text: &str| Reader::new(&hex(text)).unwrap_err();
    assert_eq!(refused("a201000100"), Error::KeyOrder { at: 3 });
    assert_eq!(refused("a202000100"), Error::KeyOrder { at: 3 });
    assert_eq!(
        refused("a2613100 1700".replace(' ', "").as_str()),
        Error::KeyOrder { at: 4 }
    );
    assert_eq!(refused("a18000"), Error::Excluded { at: 1 });
    assert_eq!(refused("a1c10000"), Error::Excluded { at: 1 });
    assert_eq!(Reader::new(&hex("a217006131f6")).map(|_| ()), Ok(()));
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| [vec![0x81; depth], vec![0]].concat();
    assert_eq!(Reader::new(&nested(8)).map(|_| ()), Ok(()));
    assert_eq!(
        Reader::new(&nested(9)).unwrap_err(),
        Error::TooDeep { at: 8 }
    );
    assert_eq!(
        Reader::new(&nested(1_000_000)).unwrap_err(),
        Error::TooDeep { at: 8 }
    );
}

#[test]
fn readers_refuse_the_wrong_kind_and_range() {
    let bytes = hex("8301187b20");
    let mut reader = Reader::new(&bytes).unwrap();
    assert_eq!(
        reader.clone().map().unwrap_err(),
        Error::Unexpected {
            expected: "a map",
            at: 0
        }
    );
    assert_eq!(
        reader.clone().array_of(2).unwrap_err(),
        Error::OutOfRange {
            field: "the number of items",
            at: 0
        }
    );
    reader.array_of(3).unwrap();
    assert_eq!(
        reader.clone().key(2).unwrap_err(),
        Error::Unexpected {
            expected: "another map key",
            at: 1
        }
    );
    reader.uint().unwrap();
    assert_eq!(reader.clone().uint_in::<u8>("x"), Ok(123));
    reader.uint().unwrap();
    let wanted = Error::Unexpected {
        expected: "an unsigned integer",
        at: 4,
    };
    assert_eq!(reader.clone().uint().unwrap_err(), wanted);
    assert_eq!(reader.clone().finish(), Err(Error::Trailing { at: 4 }));
    assert_eq!(reader.int(), Ok(-1));
    assert_eq!(reader.peek(), Err(Error::Truncated { at: 5 }));

    let wide = hex("1903e8");
    let field = "x";
    assert_eq!(
        Reader::new(&wide).unwrap().uint_in::<u8>(field),
        Err(Error::OutOfRange { field, at: 0 })
    );
    let huge = hex("3bffffffffffffffff");
    assert_eq!(
        Reader::new(&huge).unwrap().int(),
        Err(Error::OutOfRange {
            field: "a signed integer",
            at: 0
        })
    );
}

#[test]
fn amounts_have_one_form() {
    for (value, bytes) in [
        (0, "40"),
        (1, "4101"),
        (0x0100, "420100"),
        (u128::MAX, "50ffffffffffffffffffffffffffffffff"),
    ] {
        let mut writer = Writer::new();
        writer.uint128(value);
        assert_eq!(writer.finish(), hex(bytes));
        assert_eq!(Reader::new(&hex(bytes)).unwrap().uint128(), Ok(value));
    }
    for bytes in ["4100", "420001", "510100000000000000000000000000000000"] {
        let field = "an amount";
        let refused = Reader::new(&hex(bytes)).unwrap().uint128();
        assert_eq!(refused, Err(Error::OutOfRange { field, at: 0 }));
    }
}

/// Writes again what a reader reads.
fn rewrite(reader: &mut Reader<'_>, writer: &mut Writer) -> Result<(), Error> {
    match reader.peek()? {
        Kind::Uint => _ = writer.uint(reader.uint()?),
        Kind::Negative => match reader.clone().int() {
            Ok(value) => {
                reader.int()?;
                writer.int(value);
            }
            Err(error) => return Err(error),
        },
        Kind::Bytes => _ = writer.bytes(reader.bytes()?),
        Kind::Text => _ = writer.text(reader.text()?),
        Kind::Bool => _ = writer.bool(reader.bool()?),
        Kind::Null => _ = reader.skip_null().map(|_| writer.null())?,
        Kind::Tag => return Err(Error::Excluded { at: reader.at() }),
        Kind::Array => {
            let items = reader.array()?;
            writer.array(items);
            for _ in 0..items {
                rewrite(reader, writer)?;
            }
        }
        Kind::Map => {
            let entries = reader.map()?;
            writer.map(entries);
            for _ in 0..entries {
                rewrite(reader, writer)?;
                rewrite(reader, writer)?;
            }
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn what_is_accepted_has_one_encoding(bytes in proptest::collection::vec(any::<u8>(), 0..48)) {
        if let Ok(mut reader) = Reader::new(&bytes) {
            let mut writer = Writer::new();
            if rewrite(&mut reader, &mut writer).is_ok() {
                prop_assert_eq!(writer.finish(), bytes);
            }
        }
    }

    #[test]
    fn integers_round_trip(value in any::<i64>(), wide in any::<u128>()) {
        let mut writer = Writer::new();
        writer.array(2).int(value).uint128(wide);
        let bytes = writer.finish();
        let mut reader = Reader::new(&bytes).unwrap();
        reader.array_of(2).unwrap();
        prop_assert_eq!(reader.int().unwrap(), value);
        prop_assert_eq!(reader.uint128().unwrap(), wide);
    }
}

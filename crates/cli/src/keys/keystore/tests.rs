use std::path::Path;

use super::*;

/// The vectors of the Web3 Secret Storage definition, version 3.
const PASSWORD: &str = "testpassword";
const SECRET: &str = "7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d";

fn pbkdf2_file() -> serde_json::Value {
    serde_json::json!({
        "crypto": {
            "cipher": "aes-128-ctr",
            "cipherparams": { "iv": "6087dab2f9fdbbfaddc31a909735c1e6" },
            "ciphertext": "5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46",
            "kdf": "pbkdf2",
            "kdfparams": {
                "c": 262_144,
                "dklen": 32,
                "prf": "hmac-sha256",
                "salt": "ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd"
            },
            "mac": "517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2"
        },
        "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6",
        "version": 3
    })
}

fn scrypt_file() -> serde_json::Value {
    serde_json::json!({
        "crypto": {
            "cipher": "aes-128-ctr",
            "cipherparams": { "iv": "83dbcc02d8ccb40e466191a123791e0e" },
            "ciphertext": "d172bf743a674da9cdad04534d56926ef8358534d458fffccd4e6ad2fbde479c",
            "kdf": "scrypt",
            "kdfparams": {
                "dklen": 32,
                "n": 262_144,
                "p": 8,
                "r": 1,
                "salt": "ab0c7876052600dd703518d6fc3fe8984592145b591fc8fb5c6d43190334ba19"
            },
            "mac": "2103ac29920d71da29f15d75b4a16dbe95cfd7ff8faea1056c33131d846e3097"
        },
        "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6",
        "version": 3
    })
}

fn open(file: &serde_json::Value, password: &str) -> Result<String, KeystoreError> {
    let keystore = Keystore::read(file.to_string().as_bytes())?;
    let wallet = keystore.decrypt(password)?;
    Ok(hex::encode(*wallet.to_bytes()))
}

#[test]
fn files_of_other_wallets_open() {
    for file in [pbkdf2_file(), scrypt_file()] {
        assert_eq!(open(&file, PASSWORD).as_deref(), Ok(SECRET));
    }
    let mut old = pbkdf2_file();
    let crypto = old["crypto"].take();
    old["Crypto"] = crypto;
    old.as_object_mut().unwrap().remove("crypto");
    assert_eq!(open(&old, PASSWORD).as_deref(), Ok(SECRET));
}

#[test]
fn what_is_written_is_read_again() {
    let wallet = Wallet::from_hex(SECRET).unwrap();
    let keystore = Keystore::encrypt(&wallet, "a long password", &[7; 64]).unwrap();
    let bytes = keystore.to_json();
    let text = String::from_utf8(bytes.clone()).unwrap();
    assert!(!text.contains(SECRET) && !text.contains("a long password"));
    let path = Path::new("wallet.json");
    let again = Keystore::parse(&bytes, path).unwrap();
    assert_eq!(again.address(path).unwrap(), wallet.address());
    let opened = again.decrypt("a long password").unwrap();
    assert_eq!(opened.address(), wallet.address());
    assert_eq!(again.decrypt("another password").err(), Some(WrongPassword));
    let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(value["crypto"]["kdfparams"]["n"], 131_072);
    assert_eq!(value["id"], "07070707-0707-4707-8707-070707070707");
}

#[test]
fn a_wrong_password_and_a_changed_file_open_nothing() {
    assert_eq!(open(&pbkdf2_file(), "Testpassword"), Err(WrongPassword));
    let change = |pointer: &str, value: serde_json::Value| {
        let mut file = pbkdf2_file();
        *file.pointer_mut(pointer).unwrap() = value;
        open(&file, PASSWORD).unwrap_err()
    };
    let other = "0".repeat(64);
    for pointer in [
        "/crypto/ciphertext",
        "/crypto/mac",
        "/crypto/kdfparams/salt",
    ] {
        assert_eq!(
            change(pointer, other.clone().into()),
            WrongPassword,
            "{pointer}"
        );
    }
    assert_eq!(change("/crypto/kdfparams/c", 262_143.into()), WrongPassword);
    let mut claims = pbkdf2_file();
    claims["address"] = "00".repeat(20).into();
    assert_eq!(open(&claims, PASSWORD), Err(OtherAddress));
}

#[test]
fn a_file_cannot_ask_for_any_amount_of_work() {
    let with = |parameter: &str, value: u64| {
        let mut file = scrypt_file();
        file["crypto"]["kdfparams"][parameter] = value.into();
        open(&file, PASSWORD).unwrap_err()
    };
    assert_eq!(with("n", 1 << 40), TooCostly);
    assert_eq!(with("n", 1 << 63), TooCostly);
    assert_eq!(with("r", u64::from(u32::MAX)), TooCostly);
    assert_eq!(with("p", u64::from(u32::MAX)), TooCostly);
    let mut file = pbkdf2_file();
    file["crypto"]["kdfparams"]["c"] = u32::MAX.into();
    assert_eq!(open(&file, PASSWORD), Err(TooCostly));
}

#[test]
fn what_is_no_keystore_is_said() {
    let malformed = |pointer: &str, value: serde_json::Value| {
        let mut file = scrypt_file();
        *file.pointer_mut(pointer).unwrap() = value;
        matches!(open(&file, PASSWORD), Err(Malformed(_)))
    };
    let cases: [(&str, serde_json::Value); 14] = [
        ("/version", 4.into()),
        ("/crypto/cipher", "aes-256-ctr".into()),
        ("/crypto/kdf", "argon2".into()),
        ("/crypto/ciphertext", "00".into()),
        ("/crypto/ciphertext", "zz".into()),
        ("/crypto/mac", "zz".into()),
        ("/crypto/cipherparams/iv", "zz".into()),
        ("/crypto/kdfparams/dklen", 16.into()),
        ("/crypto/kdfparams/n", 3.into()),
        ("/crypto/kdfparams/n", 1.into()),
        ("/crypto/kdfparams/n", 0.into()),
        ("/crypto/kdfparams/r", 0.into()),
        ("/crypto/kdfparams/p", 0.into()),
        ("/crypto/kdfparams/salt", "zz".into()),
    ];
    for (pointer, value) in cases {
        assert!(malformed(pointer, value.clone()), "{pointer} {value}");
    }
    // The vector is looked at after the check value, which it is no part of.
    let mut short = pbkdf2_file();
    short["crypto"]["cipherparams"]["iv"] = "00".into();
    assert_eq!(
        open(&short, PASSWORD),
        Err(Malformed("its initialization vector"))
    );
    for bytes in [&b""[..], b"{}", b"[]", b"not json"] {
        assert!(matches!(Keystore::read(bytes), Err(Malformed(_))));
    }
}

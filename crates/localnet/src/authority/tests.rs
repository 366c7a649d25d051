use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);

fn no_hardware() -> NoHardware {
    NoHardware::probe(|_| false).unwrap()
}

#[test]
fn each_device_alone_is_refused() {
    for device in NoHardware::DEVICES {
        let found = NoHardware::probe(|path| path == Path::new(device));
        assert!(
            matches!(found, Err(Error::HardwarePresent { device: named }) if named == device),
            "{device}: {found:?}"
        );
    }
}

#[test]
fn an_authority_survives_its_file() {
    let made = DevAuthority::generate(&no_hardware(), NOW).unwrap();
    let read = DevAuthority::from_bytes(&no_hardware(), &made.to_bytes().unwrap()).unwrap();
    assert_eq!(read.root_der(), made.root_der());
    assert_eq!(read.not_after(), made.not_after());
    assert_eq!(*read.to_bytes().unwrap(), *made.to_bytes().unwrap());
}

#[test]
fn installations_differ() {
    let one = DevAuthority::generate(&no_hardware(), NOW).unwrap();
    let other = DevAuthority::generate(&no_hardware(), NOW).unwrap();
    assert_ne!(one.root_der(), other.root_der());
}

#[test]
fn every_truncation_is_refused() {
    let bytes = DevAuthority::generate(&no_hardware(), NOW)
        .unwrap()
        .to_bytes()
        .unwrap();
    for len in 0..bytes.len() {
        let read = DevAuthority::from_bytes(&no_hardware(), &bytes[..len]);
        assert!(
            matches!(read, Err(Error::Unreadable { .. })),
            "{len} of {} bytes",
            bytes.len()
        );
    }
}

#[test]
fn the_key_of_another_installation_is_refused() {
    let mut mixed = DevAuthority::generate(&no_hardware(), NOW).unwrap();
    mixed.key = DevAuthority::generate(&no_hardware(), NOW).unwrap().key;
    let read = DevAuthority::from_bytes(&no_hardware(), &mixed.to_bytes().unwrap());
    assert!(matches!(
        read,
        Err(Error::Unreadable {
            reason: "the key is not the certificate's"
        })
    ));
}

#[test]
fn a_root_lives_thirty_days() {
    let root = DevAuthority::generate(&no_hardware(), NOW).unwrap();
    assert!(!root.is_valid_at(NOW.saturating_sub(Duration::from_secs(4))));
    assert!(root.is_valid_at(NOW));
    assert!(root.is_valid_at(root.not_after().saturating_sub(Duration::from_millis(1))));
    assert!(!root.is_valid_at(root.not_after()));
    let life = root.not_after().saturating_since(NOW);
    assert_eq!(life, DevAuthority::LIFETIME - CLOCK_MARGIN);
}

#[test]
fn the_pem_form_holds_the_der_form() {
    let root = DevAuthority::generate(&no_hardware(), NOW).unwrap();
    let pem = root.root_pem();
    assert!(pem.lines().all(|line| line.len() <= 64));
    let body: String = pem
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .collect();
    assert_eq!(STANDARD.decode(body).unwrap(), root.root_der());
}

#[test]
fn debug_shows_no_key() {
    let root = DevAuthority::generate(&no_hardware(), NOW).unwrap();
    let shown = format!("{root:?}");
    assert_eq!(
        shown,
        format!("DevAuthority {{ not_after: {:?}, .. }}", root.not_after())
    );
}

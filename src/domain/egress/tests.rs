//! Spellings of addresses that nobody may call.

use super::*;

fn kind(text: &str) -> Option<AddressKind> {
    check(text.parse().unwrap(), &EgressAllow::default(), |_| false).err().map(|why| why.kind)
}

/// The host of a url, as whoever connects reads it.
fn literal(host: &str) -> Option<IpAddr> {
    let url = url::Url::parse(&format!("http://{host}/")).ok()?;
    match url.host()? {
        url::Host::Ipv4(v4) => Some(v4.into()),
        url::Host::Ipv6(v6) => Some(v6.into()),
        url::Host::Domain(_) => None,
    }
}

#[test]
fn the_ranges_end_where_they_end() {
    for (first, last, kind_of) in [
        ("0.0.0.0", "0.255.255.255", AddressKind::Reserved),
        ("10.0.0.0", "10.255.255.255", AddressKind::Private),
        ("100.64.0.0", "100.127.255.255", AddressKind::SharedByProvider),
        ("127.0.0.0", "127.255.255.255", AddressKind::Loopback),
        ("169.254.0.0", "169.254.255.255", AddressKind::LinkLocal),
        ("172.16.0.0", "172.31.255.255", AddressKind::Private),
        ("192.168.0.0", "192.168.255.255", AddressKind::Private),
        ("198.18.0.0", "198.19.255.255", AddressKind::Reserved),
        ("224.0.0.0", "239.255.255.255", AddressKind::Multicast),
        ("240.0.0.0", "255.255.255.255", AddressKind::Reserved),
        ("fe80::", "febf:ffff::1", AddressKind::LinkLocal),
        ("fc00::", "fdff:ffff::1", AddressKind::Private),
        ("ff00::", "ffff::1", AddressKind::Multicast),
        ("2001:db8::", "2001:db8:ffff::1", AddressKind::Reserved),
        ("2001::", "2001:0:ffff::1", AddressKind::Translated),
        ("2002::", "2002:ffff::1", AddressKind::Translated),
        ("64:ff9b::", "64:ff9b:1::1", AddressKind::Translated),
        ("3fff::", "3fff:fff::1", AddressKind::Reserved),
        ("4000::", "5fff::1", AddressKind::Reserved),
        ("100::", "100::1", AddressKind::Reserved),
    ] {
        assert_eq!((kind(first), kind(last)), (Some(kind_of), Some(kind_of)), "{first} to {last}");
    }
    for public in [
        "1.1.1.1",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "2606:4700:4700::1111",
        "2001:4860:4860::8888",
        "2a00:1450::1",
        "3ffe::1",
    ] {
        assert_eq!(kind(public), None, "{public}");
    }
}

/// Two hundred and more ways to write an address that is not public: each is read as the address that would be connected to.
#[test]
fn no_spelling_of_a_private_address_passes() {
    let mut spellings: Vec<String> = Vec::new();
    for octets in [
        [127, 0, 0, 1],
        [10, 1, 2, 3],
        [192, 168, 0, 1],
        [172, 16, 5, 6],
        [169, 254, 169, 254],
        [100, 100, 100, 200],
        [0, 0, 0, 0],
    ] {
        let [a, b, c, d] = octets;
        let bits = u32::from_be_bytes(octets);
        let (low24, low16) = (bits & 0x00ff_ffff, bits & 0xffff);
        let (ab, cd) = (bits >> 16, low16);
        spellings.extend([
            format!("{a}.{b}.{c}.{d}"),
            format!("{a}.{b}.{c}.{d}."),
            format!("{bits}"),
            format!("0x{bits:x}"),
            format!("0X{bits:X}"),
            format!("0{bits:o}"),
            format!("000{bits:o}"),
            format!("{a}.{low24}"),
            format!("{a}.{b}.{low16}"),
            format!("0x{a:x}.{low24}"),
            format!("0x{a:x}.0x{b:x}.0x{c:x}.0x{d:x}"),
            format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
            format!("0x{a:02x}.0{b:o}.{c}.{d}"),
            format!("0x{a:x}.0x{low24:x}"),
            format!("{a}.0x{b:x}.0{low16:o}"),
            format!(
                "%3{}{}",
                a.to_string().chars().next().unwrap(),
                &format!("{a}.{b}.{c}.{d}")[1..]
            ),
            format!("{a}。{b}。{c}。{d}"),
            format!("{a}．{b}．{c}．{d}"),
            format!("[::ffff:{a}.{b}.{c}.{d}]"),
            format!("[::ffff:{ab:x}:{cd:x}]"),
            format!("[0:0:0:0:0:ffff:{ab:x}:{cd:x}]"),
            format!("[::{a}.{b}.{c}.{d}]"),
            format!("[::ffff:0:{a}.{b}.{c}.{d}]"),
            format!("[64:ff9b::{a}.{b}.{c}.{d}]"),
            format!("[64:ff9b::{ab:x}:{cd:x}]"),
            format!("[64:ff9b:1::{a}.{b}.{c}.{d}]"),
            format!("[2002:{ab:x}:{cd:x}::1]"),
            format!("[2002:{ab:X}:{cd:X}:0:0:0:0:1]"),
            format!("[2001:0:{ab:x}:{cd:x}::1]"),
            format!("[2a00::5efe:{ab:x}:{cd:x}]"),
            format!("[2a00::200:5efe:{ab:x}:{cd:x}]"),
            format!("[fe80::5efe:{ab:x}:{cd:x}]"),
        ]);
    }
    spellings.extend(
        ["[::1]", "[0:0:0:0:0:0:0:1]", "[::]", "[fd00::1]", "[fe80::1]", "[ff02::1]", "[fec0::1]"]
            .map(str::to_owned),
    );
    assert!(spellings.len() >= 200, "{}", spellings.len());
    for spelling in &spellings {
        // What is no address for the reader of urls is a name, or no url at all: names are resolved and checked then.
        let Some(address) = literal(spelling) else { continue };
        let checked = check(address, &EgressAllow::default(), |_| false);
        assert!(checked.is_err(), "{spelling} was read as {address}, which passes");
    }
    let read = spellings.iter().filter(|spelling| literal(spelling).is_some()).count();
    assert!(read >= 200, "only {read} were read as addresses");
}

#[test]
fn what_the_operator_allows_passes_and_nothing_beside_it() {
    let allowed: EgressAllow =
        vec!["10.1.0.0/16".parse().unwrap(), "fd00:1::/32".parse().unwrap()].into();
    let passes = |text: &str| check(text.parse().unwrap(), &allowed, |_| false).is_ok();
    for good in ["10.1.0.0", "10.1.255.255", "fd00:1::7", "::ffff:10.1.2.3", "1.1.1.1"] {
        assert!(passes(good), "{good}");
    }
    for bad in ["10.0.255.255", "10.2.0.0", "fd00:2::7", "64:ff9b::10.1.2.3", "::10.1.2.3"] {
        assert!(!passes(bad), "{bad}");
    }
    let own = check("1.2.3.4".parse().unwrap(), &allowed, |_| true).unwrap_err();
    assert_eq!(own.kind, AddressKind::Own);
    assert!(check("10.1.0.1".parse().unwrap(), &allowed, |_| true).is_ok());
}

#[test]
fn networks_are_written_exactly() {
    for good in ["10.1.0.0/16", "0.0.0.0/0", "fd00::/8", "192.168.1.7", "::/0", "::1"] {
        let network: Network = good.parse().unwrap();
        let shown = network.to_string();
        assert!(shown.starts_with(good.split('/').next().unwrap()), "{shown}");
    }
    for bad in [
        "",
        "10.1.0.0/33",
        "10.1.0.0/016",
        "10.1.0.0/",
        "10.1/16",
        "x/8",
        "fd00::/129",
        "10.1.0.0/+8",
    ] {
        assert!(matches!(bad.parse::<Network>(), Err(BadNetwork::Unreadable(_))), "{bad}");
    }
    let why = "10.1.2.3/16".parse::<Network>().unwrap_err().to_string();
    assert!(why.contains("expected \"10.1.0.0/16\""), "{why}");
}

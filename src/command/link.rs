//! Which links may be handed to a node. A node fetches what it is given, so a link into a private network would let anyone in
//! a guild look around there.
//!
//! This file judges what is written in the link. A public name that resolves to a private address is caught by whoever
//! resolves it, with [`is_public`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

/// Why a link is not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LinkRefusal {
    /// It cannot be read.
    Malformed,
    /// Neither `http` nor `https`.
    Scheme,
    /// It carries a user name or a password.
    UserInfo,
    /// It leads into a private network, to this machine, or to a cloud's metadata.
    Private,
    /// Its address is written in a way that programs read differently.
    OddHost,
}

/// Names under these belong to private networks (RFC 6761, RFC 6762, RFC 8375, ICANN's list of reserved names, Kubernetes).
const PRIVATE_SUFFIXES: &[&str] = &[
    "localhost",
    "local",
    "localdomain",
    "internal",
    "intranet",
    "private",
    "corp",
    "home",
    "lan",
    "home.arpa",
    "svc",
    "test",
    "invalid",
    "onion",
];

/// Reads a link and refuses what must not be fetched.
///
/// # Errors
/// Says which rule the link breaks.
pub fn check(text: &str) -> Result<Url, LinkRefusal> {
    if text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\\') {
        return Err(LinkRefusal::Malformed);
    }
    let url = Url::parse(text).map_err(|_| LinkRefusal::Malformed)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(LinkRefusal::Scheme);
    }
    if !url.username().is_empty() || url.password().is_some() || authority(text).contains('@') {
        return Err(LinkRefusal::UserInfo);
    }
    match url.host().ok_or(LinkRefusal::Malformed)? {
        Host::Domain(name) => check_name(name)?,
        Host::Ipv4(ip) => check_v4(ip, written_host(text))?,
        Host::Ipv6(ip) => check_ip(IpAddr::V6(ip))?,
    }
    Ok(url)
}

/// Whether an address belongs to the public internet.
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn check_name(name: &str) -> Result<(), LinkRefusal> {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let under = |suffix: &&str| {
        name.strip_suffix(*suffix)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    // A name without a dot (`metadata`, `redis`) is only ever found by a private resolver.
    if !name.contains('.') || PRIVATE_SUFFIXES.iter().any(under) {
        return Err(LinkRefusal::Private);
    }
    Ok(())
}

fn check_v4(ip: Ipv4Addr, written: &str) -> Result<(), LinkRefusal> {
    check_ip(IpAddr::V4(ip))?;
    // `http://134744072/` and `http://010.8.8.8/`: browsers read octal, Java reads decimal.
    if written == ip.to_string() {
        Ok(())
    } else {
        Err(LinkRefusal::OddHost)
    }
}

fn check_ip(ip: IpAddr) -> Result<(), LinkRefusal> {
    if is_public(ip) {
        Ok(())
    } else {
        Err(LinkRefusal::Private)
    }
}

/// What stands between `//` and the path.
fn authority(text: &str) -> &str {
    let after = text.split_once(':').map_or(text, |(_, rest)| rest);
    after
        .trim_start_matches('/')
        .split(['/', '?', '#'])
        .next()
        .unwrap_or_default()
}

fn written_host(text: &str) -> &str {
    let authority = authority(text);
    authority.rsplit_once(':').map_or(authority, |(host, _)| host)
}

/// Everything in IANA's registry of special-purpose IPv4 addresses is not public.
fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let special = match a {
        0 | 10 | 127 | 224..=255 => true,
        100 => (64..128).contains(&b),
        169 => b == 254,
        172 => (16..32).contains(&b),
        192 => b == 168 || (b == 0 && (c == 0 || c == 2)) || (b == 88 && c == 99),
        198 => b == 18 || b == 19 || (b == 51 && c == 100),
        203 => b == 0 && c == 113,
        _ => false,
    };
    // Azure's platform address is public by number and private by use.
    !special && ip != Ipv4Addr::new(168, 63, 129, 16)
}

/// Only global unicast (`2000::/3`) is public, without documentation and without what carries an IPv4 address inside.
fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [a, b, ..] = ip.segments();
    let global_unicast = a & 0xe000 == 0x2000;
    let special = (a == 0x2001 && (b < 0x0200 || b == 0x0db8)) || a == 0x2002 || a == 0x3fff;
    global_unicast && !special
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn links_into_private_places_are_refused() {
        let table = [
            "http://localhost/",
            "http://LOCALHOST:8080/",
            "http://localhost./",
            "http://a.localhost/",
            "http://printer.local/",
            "http://printer.local./x",
            "http://metadata.google.internal/",
            "http://metadata/",
            "http://lavalink:2333/version",
            "http://segue.music.svc/",
            "http://segue.music.svc.cluster.local/",
            "http://router.home.arpa/",
            "http://127.0.0.1/",
            "http://127.1/",
            "http://2130706433/",
            "http://0x7f000001/",
            "http://0x7f.0.0.1/",
            "http://0177.0.0.1/",
            "http://017700000001/",
            "http://0/",
            "http://１２７.０.０.１/",
            "http://%31%32%37.0.0.1/",
            "http://127。0。0。1/",
            "http:127.0.0.1/",
            "http:///127.0.0.1/",
            "http://0.0.0.0/",
            "http://10.1.2.3/",
            "http://172.16.0.1/",
            "http://172.31.255.255/",
            "http://192.168.0.1/",
            "http://169.254.169.254/latest/meta-data/",
            "http://100.64.0.1/",
            "http://100.127.255.255/",
            "http://100.100.100.200/",
            "http://192.0.0.192/",
            "http://198.18.0.1/",
            "http://224.0.0.1/",
            "http://255.255.255.255/",
            "http://168.63.129.16/",
            "http://[::1]/",
            "http://[::]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::ffff:7f00:1]/",
            "http://[::ffff:8.8.8.8]/",
            "http://[::127.0.0.1]/",
            "http://[64:ff9b::7f00:1]/",
            "http://[2002:7f00:1::]/",
            "http://[2001:0:7f00:1::]/",
            "http://[fe80::1]/",
            "http://[fec0::1]/",
            "http://[fc00::1]/",
            "http://[fd00:ec2::254]/",
            "http://[ff02::1]/",
            "http://[2001:db8::1]/",
        ];
        for text in table {
            assert_eq!(check(text), Err(LinkRefusal::Private), "{text}");
        }
    }

    #[test]
    fn links_with_something_hidden_or_broken_are_refused() {
        use LinkRefusal::{Malformed, OddHost, Scheme, UserInfo};
        let table = [
            ("http://134744072/", OddHost),
            ("http://010.8.8.8/", OddHost),
            ("http://0x8.8.8.8/", OddHost),
            ("http://8.8.2056/", OddHost),
            ("ftp://example.com/a.mp3", Scheme),
            ("file:///etc/passwd", Scheme),
            ("gopher://example.com/", Scheme),
            ("javascript://example.com/%0aalert(1)", Scheme),
            ("http://user@example.com/", UserInfo),
            ("http://user:pass@example.com/", UserInfo),
            ("http://@example.com/", UserInfo),
            ("http://example.com@127.0.0.1/", UserInfo),
            ("http://exa mple.com/", Malformed),
            ("http://example.com\\@127.0.0.1/", Malformed),
            ("http://", Malformed),
            ("http://[::1", Malformed),
            ("http://256.256.256.256/", Malformed),
            ("http://\u{7f}example.com/", Malformed),
        ];
        for (text, expected) in table {
            assert_eq!(check(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn public_links_pass() {
        let table = [
            "https://www.youtube.com/watch?v=dQw4w9WgXcQ",
            "https://youtu.be/dQw4w9WgXcQ?t=43",
            "HTTPS://SoundCloud.com/a/b",
            "http://ice.example.com:8000/stream.mp3",
            "https://example.com/@artist/track",
            "https://münchen.example.de/lied.ogg",
            "http://8.8.8.8/a.mp3",
            "http://172.32.0.1:8080/",
            "http://100.128.0.1/",
            "http://[2a00:1450:4001::1]:443/a.mp3",
            "https://local.example.com/",
            "https://notlocal.com/",
        ];
        for text in table {
            assert!(check(text).is_ok(), "{text}: {:?}", check(text));
        }
    }

    proptest! {
        #[test]
        fn no_spelling_of_a_private_address_passes(
            ip in prop_oneof![
                any::<[u8; 3]>().prop_map(|[b, c, d]| Ipv4Addr::new(127, b, c, d)),
                any::<[u8; 3]>().prop_map(|[b, c, d]| Ipv4Addr::new(10, b, c, d)),
                any::<[u8; 2]>().prop_map(|[c, d]| Ipv4Addr::new(192, 168, c, d)),
                any::<[u8; 2]>().prop_map(|[c, d]| Ipv4Addr::new(169, 254, c, d)),
            ],
            spelling in 0usize..6,
        ) {
            let [a, b, c, d] = ip.octets();
            let number = u32::from(ip);
            let host = match spelling {
                0 => ip.to_string(),
                1 => number.to_string(),
                2 => format!("{number:#x}"),
                3 => format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
                4 => format!("[::ffff:{ip}]"),
                _ => format!("{a}.{b}.{}", u16::from_be_bytes([c, d])),
            };
            prop_assert!(check(&format!("http://{host}/")).is_err(), "{}", host);
        }

        #[test]
        fn no_text_breaks_it(text in "(https?://)?\\PC{0,60}") {
            drop(check(&text));
        }
    }
}

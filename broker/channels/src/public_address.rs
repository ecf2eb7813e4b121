//! Which addresses are on the public internet. A webhook's URL is somebody's input: without this
//! check it could make the broker call its own cloud's metadata service or a neighbour's database.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether `address` is globally reachable unicast, by the registries of RFC 6890 (IPv4 and IPv6
/// special-purpose addresses). What carries an IPv4 address inside counts as that one.
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match embedded_v4(address) {
            Some(address) => is_public_v4(address),
            None => is_public_v6(address),
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (b == 18 || b == 19));
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    // Only 2000::/3 is handed out for global unicast; 2001::/23 in it is for protocols.
    let global = first & 0xe000 == 0x2000;
    let protocols = first == 0x2001 && second < 0x0200;
    let documentation =
        (first == 0x2001 && second == 0x0db8) || (first == 0x3fff && second < 0x1000);
    global && !protocols && !documentation
}

/// The IPv4 address inside a mapped (::ffff:0:0/96), NAT64 (64:ff9b::/96) or 6to4 (2002::/16) one.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = address.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match s {
        [0, 0, 0, 0, 0, 0xffff, high, low] => Some(v4(high, low)),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(v4(high, low)),
        [0x2002, high, low, ..] => Some(v4(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("1.1.1.1", true)]
    #[case("100.128.0.1", true)]
    #[case("172.32.0.1", true)]
    #[case("2606:4700::1111", true)]
    #[case("2002:0101:0101::1", true)]
    #[case("127.0.0.1", false)]
    #[case("10.1.2.3", false)]
    #[case("172.16.0.1", false)]
    #[case("192.168.1.1", false)]
    #[case("169.254.169.254", false)]
    #[case("100.64.0.1", false)]
    #[case("0.0.0.0", false)]
    #[case("198.18.0.1", false)]
    #[case("224.0.0.1", false)]
    #[case("255.255.255.255", false)]
    #[case("::", false)]
    #[case("::1", false)]
    #[case("::127.0.0.1", false)]
    #[case("fe80::1", false)]
    #[case("fd00:ec2::254", false)]
    #[case("ff02::1", false)]
    #[case("2001:db8::1", false)]
    #[case("2001:0:7f00:1::", false)]
    #[case("::ffff:169.254.169.254", false)]
    #[case("64:ff9b::10.0.0.1", false)]
    #[case("2002:7f00:0001::1", false)]
    fn tells_the_public_from_the_rest(#[case] address: &str, #[case] public: bool) {
        assert_eq!(is_public(address.parse().unwrap()), public);
    }
}

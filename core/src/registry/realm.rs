//! Where a registry may send us: private addresses, owners of names, and the rules a token server must obey.
//!
//! A registry names the token server itself, so its word is not trusted: the rules in [`check_realm`] keep a password
//! from going to an address the user never chose.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

use crate::error::{Code, Error, Result};

/// Scheme, host and port: the exact border that credentials never cross.
pub fn origin(url: &Url) -> (String, String, u16) {
    let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
    (url.scheme().to_owned(), host, url.port_or_known_default().unwrap_or(0))
}

fn is_private_v4(ip: Ipv4Addr) -> bool {
    let [a, b, ..] = ip.octets();
    ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_unspecified()
        || ip.is_broadcast()
        || ip.is_multicast()
        || a == 0
        || (a == 100 && (64..128).contains(&b))
}

fn is_private_v6(ip: Ipv6Addr) -> bool {
    if let Some(v4) = ip.to_ipv4() {
        // Mapped and compatible forms reach the same machine; ::1 and :: are among the latter.
        return is_private_v4(v4) || ip.is_loopback() || ip.is_unspecified();
    }
    let [first, second, ..] = ip.segments();
    let nat64 = first == 0x64 && second == 0xff9b;
    (first & 0xfe00) == 0xfc00 || (first & 0xffc0) == 0xfe80 || ip.is_multicast() || nat64
}

/// Whether an address is inside this machine or a private network.
pub fn is_private_ip(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_private_v4(ip),
        IpAddr::V6(ip) => is_private_v6(ip),
    }
}

/// Whether the host is an address literal, or a name, inside this machine or a private network.
pub fn is_private(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => is_private_v4(ip),
        Some(Host::Ipv6(ip)) => is_private_v6(ip),
        Some(Host::Domain(name)) => is_local_name(name),
        None => true,
    }
}

fn is_local_name(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

/// Whether the host is this machine: `localhost`, `*.localhost`, 127.0.0.0/8 or `::1`.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => IpAddr::V4(ip).is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip).is_loopback(),
        Some(Host::Domain(name)) => is_local_name(name),
        None => false,
    }
}

/// Endings under which strangers own neighbouring names, beside `co.uk` and its like: clouds and hosting, where a registry
/// or a token server may stand.
const SHARED: &[&str] = &[
    "amazonaws.com",
    "azurecr.io",
    "azurewebsites.net",
    "azure.com",
    "cloudapp.net",
    "cloudfront.net",
    "appspot.com",
    "run.app",
    "pkg.dev",
    "pages.dev",
    "workers.dev",
    "github.io",
    "gitlab.io",
    "githubusercontent.com",
    "herokuapp.com",
    "netlify.app",
    "vercel.app",
    "fly.dev",
    "ngrok.io",
    "ngrok.app",
    "duckdns.org",
    "jfrog.io",
    "windows.net",
    "ondigitalocean.app",
    "scw.cloud",
    "myhuaweicloud.com",
    "aliyuncs.com",
    "tencentcloudcr.com",
    "sslip.io",
    "nip.io",
    "uk.com",
    "eu.org",
];

/// The name that one owner holds: the last two labels, or three under endings that strangers share: short second levels
/// such as `co.uk`, and [`SHARED`].
///
/// The public suffix list would say more of unusual endings, at a cost in size that outweighs the whole transport. A
/// credential never goes further than to a name that shares the registry's last two labels; who must be stricter or
/// wider names the token server (`token_servers`).
fn owner(url: &Url) -> String {
    let Some(Host::Domain(name)) = url.host() else { return url.host_str().unwrap_or_default().to_owned() };
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let labels: Vec<&str> = name.split('.').collect();
    let tail =
        |keep: usize| labels.iter().skip(labels.len().saturating_sub(keep)).copied().collect::<Vec<_>>().join(".");
    let short = |label: Option<&&str>, most: usize| label.is_some_and(|label| label.len() <= most);
    let mut from_end = labels.iter().rev();
    let (last, second) = (from_end.next(), from_end.next());
    // Clouds put the region in front of the shared ending; one label more than that is a customer's, or is refused.
    let pair = tail(2);
    match SHARED.contains(&pair.as_str()) {
        true => name,
        false if short(last, 2) && (short(second, 3) || second.is_some_and(|l| *l == "gov" || *l == "info")) => tail(3),
        false => pair,
    }
}

/// Judges the token server that `registry` names, before anything is sent to it.
///
/// `plain_allowed` tells whether plain HTTP to the realm's host was allowed; `with_credentials` whether a stored
/// credential would go there; `permitted` whether the caller allowed this very host.
pub fn check_realm(
    registry: &Url,
    realm: &str,
    plain_allowed: impl Fn(&Url) -> bool,
    with_credentials: bool,
    permitted: impl Fn(&str) -> bool,
) -> Result<Url> {
    let host = registry.host_str().unwrap_or_default();
    let refuse = |why: &str| {
        let shown: String = realm.chars().filter(|c| !c.is_control()).take(120).collect();
        let shown = shown.split('?').next().unwrap_or_default().to_owned();
        Error::new(
            Code::Auth,
            format!("registry {host}: its token server {shown:?} is refused: {why}; no credentials were sent"),
        )
        .with("registry", host)
    };
    let url = Url::parse(realm).map_err(|_| refuse("it is not a URL"))?;
    match url.scheme() {
        "https" => {}
        "http" if registry.scheme() == "http" && plain_allowed(&url) => {}
        _ => return Err(refuse("a token server must be https")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse("it carries a user name or password"));
    }
    let same_place =
        url.host_str() == registry.host_str() && url.port_or_known_default() == registry.port_or_known_default();
    if is_private(&url) && !same_place && !is_private(registry) {
        return Err(refuse("it is an address of a private network"));
    }
    let realm_host = url.host_str().unwrap_or_default();
    if with_credentials
        && owner(&url) != owner(registry)
        && !(is_loopback(&url) && is_loopback(registry))
        && !permitted(realm_host)
    {
        return Err(refuse("it belongs to another domain than the registry"));
    }
    Ok(url)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn realms_of_strangers_are_refused() {
        let registry = Url::parse("https://registry.a.test/").unwrap();
        let judge = |realm: &str| check_realm(&registry, realm, |_| false, true, |host| host == "permitted.test");
        for good in ["https://registry.a.test/token", "https://auth.a.test/t?x=1", "https://permitted.test/t"] {
            judge(good).unwrap_or_else(|error| panic!("{good}: {error}"));
        }
        for bad in [
            "http://auth.a.test/t",
            "https://u:p@auth.a.test/t",
            "file:///etc/passwd",
            "gopher://auth.a.test/",
            "https://b.test/t",
            "https://127.0.0.1/t",
            "https://[::1]/t",
            "https://10.1.2.3/t",
            "https://169.254.169.254/t",
            "https://[fd00:ec2::254]/t",
            "https://[::ffff:10.0.0.1]/t",
            "https://0.0.0.0/t",
            "https://localhost/t",
            "https://2130706433/t",
            "nonsense",
        ] {
            assert_eq!(judge(bad).unwrap_err().code(), Code::Auth, "{bad}");
        }
        // Anonymous tokens may come from elsewhere, but not from inside the network.
        assert!(check_realm(&registry, "https://b.test/t", |_| false, false, |_| false).is_ok());
        assert!(check_realm(&registry, "https://10.1.2.3/t", |_| false, false, |_| false).is_err());
        let inside = Url::parse("https://10.0.0.1:5000/").unwrap();
        assert!(check_realm(&inside, "https://10.0.0.1:5001/t", |_| false, true, |_| false).is_ok());
        let two = Url::parse("https://a.co.uk/").unwrap();
        assert!(check_realm(&two, "https://b.co.uk/t", |_| false, true, |_| false).is_err());
    }
}

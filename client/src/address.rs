//! Addresses of brokers, as people write them. Pure.

use crate::error::RequestError;

/// Checks that `text` is host:port; an IPv6 host stands in brackets. Whether such a host exists is for connecting to
/// tell.
pub(crate) fn check(text: &str) -> Result<(), RequestError> {
    let wrong = |why: &str| {
        RequestError::Invalid(format!(
            "`{text}` is no broker address: {why}; write host:port, such as localhost:9094"
        ))
    };
    if text.contains("://") {
        return Err(wrong("it has a scheme"));
    }
    let (host, port) = text.rsplit_once(':').ok_or_else(|| wrong("it has no port"))?;
    if !matches!(port.parse::<u16>(), Ok(1..)) || !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong("its port is not a number from 1 to 65535"));
    }
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let fits = match bracketed {
        Some(host) => host.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
            !host.is_empty() && host.bytes().all(fits)
        }
    };
    if fits { Ok(()) } else { Err(wrong("its host is no name and no IP address")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_host_and_port_is_an_address() {
        for text in ["localhost:9094", "10.0.0.1:1", "[::1]:9094", "broker-1.example.org:65535", "my_host:1"]
        {
            assert!(check(text).is_ok(), "{text}");
        }
        let wrong = [
            "",
            "localhost",
            ":9094",
            "localhost:",
            "localhost:0",
            "localhost:65536",
            "localhost:+1",
            "::1:9094",
            "http://localhost:9094",
            "localhost:9094/",
            "a b:1",
            "[x]:1",
        ];
        for text in wrong {
            let error = check(text).unwrap_err().to_string();
            assert!(error.contains(&format!("`{text}`")), "{error}");
        }
    }
}

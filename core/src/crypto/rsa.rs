//! Which RSA keys are taken: 2048, 3072 or 4096 bits, e = 65537, and for private keys no modulus that is known to fall.
//!
//! The sizes and the exponent are cosign's own. The checks on private keys are those of the policy that cosign applies
//! on import (Let's Encrypt's `goodkey`): no small factor, no two factors so close that Fermat's method finds them, and
//! not of the form that Infineon's chips made (ROCA, CVE-2017-15361). The backend checks that the numbers fit together.

use crypto_bigint::U4096;
use zeroize::Zeroizing;

use super::der::{self, Malformed, Reader};
use super::{KeyAlgorithm, Secret};
use crate::error::{Code, Error, Result};

/// The kind of an `RSAPublicKey` (RFC 8017, A.1.1).
pub(crate) fn public_key(der: &[u8]) -> Result<KeyAlgorithm> {
    let read = || {
        let mut outer = Reader::new(der);
        let mut fields = outer.sequence()?;
        outer.finish()?;
        let numbers = (fields.unsigned()?, fields.unsigned()?);
        fields.finish().map(|()| numbers)
    };
    let (modulus, exponent) =
        read().map_err(|Malformed| Error::new(Code::KeyFormat, "the RSA public key is not canonical DER"))?;
    kind(modulus, exponent)
}

/// The checked key of an `RSAPrivateKey` with two primes (RFC 8017, A.1.2).
pub(crate) fn private_key(der: &[u8]) -> Result<(KeyAlgorithm, Secret)> {
    let read = || {
        let mut outer = Reader::new(der);
        let mut fields = outer.sequence()?;
        outer.finish()?;
        if !fields.unsigned()?.is_empty() {
            return Err(Malformed); // version 1: more than two primes
        }
        let numbers = (fields.unsigned()?, fields.unsigned()?);
        for _ in ["d", "p", "q", "dp", "dq", "qinv"] {
            fields.unsigned()?;
        }
        fields.finish().map(|()| numbers)
    };
    let (modulus, exponent) = read()
        .map_err(|Malformed| Error::new(Code::KeyFormat, "the RSA private key is not canonical DER with two primes"))?;
    let algorithm = kind(modulus, exponent)?;
    refuse_weak(modulus)?;
    let public = der::element(der::SEQUENCE, &[&der::unsigned(modulus), &der::unsigned(exponent)]);
    Ok((algorithm, Secret::Rsa { private: Zeroizing::new(der.to_vec()), public }))
}

fn kind(modulus: &[u8], exponent: &[u8]) -> Result<KeyAlgorithm> {
    let bits = match modulus.first() {
        Some(first) => modulus.len() * 8 - first.leading_zeros() as usize,
        None => 0,
    };
    let algorithm = match bits {
        2048 => KeyAlgorithm::Rsa2048,
        3072 => KeyAlgorithm::Rsa3072,
        4096 => KeyAlgorithm::Rsa4096,
        _ => {
            return Err(Error::new(
                Code::KeyAlgorithm,
                format!("rsa key size not supported: {bits} bits; expected 2048, 3072 or 4096"),
            ));
        }
    };
    if exponent != [1, 0, 1] {
        return Err(Error::new(Code::KeyAlgorithm, "the RSA public exponent is not 65537, the only one accepted"));
    }
    if modulus.last().is_none_or(|last| last & 1 == 0) {
        return Err(Error::new(Code::KeyFormat, "the RSA modulus is even: no RSA key has such a modulus"));
    }
    Ok(algorithm)
}

fn refuse_weak(modulus: &[u8]) -> Result<()> {
    let weakness = if has_small_factor(modulus) {
        "its modulus has a small factor"
    } else if is_roca(modulus) {
        "its modulus has the fingerprint of a broken generator (ROCA, CVE-2017-15361)"
    } else if has_close_factors(modulus) {
        "its factors are so close together that they can be found (Fermat)"
    } else {
        return Ok(());
    };
    Err(Error::new(Code::KeyFormat, format!("the RSA key is weak: {weakness}; make a new key")))
}

/// `number` modulo a small prime; the remainder stays below 2^16, so nothing overflows.
fn remainder(number: &[u8], prime: u32) -> u32 {
    number.iter().fold(0, |rest, byte| ((rest << 8) | u32::from(*byte)) % prime)
}

// All primes up to 751, as goodkey divides by.
fn has_small_factor(modulus: &[u8]) -> bool {
    (3..=751)
        .step_by(2)
        .filter(|n| (3..*n).take_while(|d| d * d <= *n).all(|d| n % d != 0))
        .any(|prime| remainder(modulus, prime) == 0)
}

// The moduli of the broken chips are powers of 65537 modulo each of these primes; of others, 1 in 2^27 is. The primes
// of the published detector (crocs-muni/roca), which are the ones where the powers are few.
fn is_roca(modulus: &[u8]) -> bool {
    const PRIMES: [u32; 17] = [11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157];
    PRIMES.iter().all(|prime| {
        let rest = remainder(modulus, *prime);
        let mut power = 1;
        (0..*prime).any(|_| {
            let hit = power == rest;
            power = power * (65537 % prime) % prime;
            hit
        })
    })
}

// Fermat's method, 100 rounds as goodkey: n = a² − b² for an a just above √n when the factors are close.
fn has_close_factors(modulus: &[u8]) -> bool {
    let mut bytes = [0; U4096::BYTES];
    let Some(tail) = bytes.len().checked_sub(modulus.len()).and_then(|skip| bytes.get_mut(skip..)) else { return true };
    tail.copy_from_slice(modulus);
    let n = U4096::from_be_slice(&bytes);
    let mut a = n.floor_sqrt_vartime().wrapping_add(&U4096::ONE);
    for _ in 0..100 {
        // a² may pass 2^4096 by a little; the difference is small, so arithmetic modulo 2^4096 gives it.
        let b_squared = a.wrapping_mul(&a).wrapping_sub(&n);
        // Squares have only 12 residues modulo 64; the root is taken only of what may be one.
        let low = b_squared.as_words().first().map_or(0, |word| word & 63);
        let may_be_square = matches!(low, 0 | 1 | 4 | 9 | 16 | 17 | 25 | 33 | 36 | 41 | 49 | 57);
        if may_be_square && b_squared.checked_sqrt_vartime().is_some() {
            return true;
        }
        a = a.wrapping_add(&U4096::ONE);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(number: U4096, length: usize) -> Vec<u8> {
        let all = number.to_be_bytes();
        all.as_ref()[U4096::BYTES - length..].to_vec()
    }

    #[test]
    fn finds_a_small_factor() {
        let times = |prime: u32| {
            let other = U4096::ONE.shl_vartime(2030).wrapping_add(&U4096::ONE);
            bytes(other.wrapping_mul(&U4096::from(prime)), 256)
        };
        for prime in [3, 5, 7, 743, 751] {
            assert!(has_small_factor(&times(prime)), "{prime}");
        }
    }

    #[test]
    fn finds_close_factors() {
        // 2^1024 - 105 is prime, but the method needs only that the factors are odd and close.
        let p = U4096::ONE.shl_vartime(1024).wrapping_sub(&U4096::from(105u32));
        let q = p.wrapping_sub(&U4096::from(1234u32));
        let n = bytes(p.wrapping_mul(&q), 256);
        assert!(has_close_factors(&n));
        let far = p.wrapping_mul(&U4096::ONE.shl_vartime(1023).wrapping_add(&U4096::from(1155u32)));
        assert!(!has_close_factors(&bytes(far, 256)));
    }

    #[test]
    fn finds_the_roca_fingerprint() {
        // 65537^k for a large k is in every subgroup.
        let mut n = U4096::ONE;
        for _ in 0..120 {
            n = n.wrapping_mul(&U4096::from(65537u32));
        }
        assert!(is_roca(&bytes(n, 512)));
        assert!(!is_roca(&bytes(n.wrapping_add(&U4096::from(2u32)), 512)));
    }

    #[test]
    fn divides_by_the_primes_up_to_751_only() {
        assert_eq!(remainder(&[1, 0, 1], 751), 65537 % 751);
        assert!(!has_small_factor(&[0x02, 0xf5])); // 757 is prime
    }
}

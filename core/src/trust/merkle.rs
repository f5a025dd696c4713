//! The hash tree of a log: the way from an entry to the root (RFC 6962 §2.1, in the words of RFC 9162 §2.1.3.2).

use crate::crypto::Hash;

/// The hash of an entry's bytes. Leaves and inner nodes are hashed apart, so that none can pass for the other.
pub fn leaf_hash(body: &[u8]) -> Vec<u8> {
    Hash::Sha256.digest(&[&[0], body].concat())
}

fn node_hash(left: &[u8], right: &[u8]) -> Vec<u8> {
    Hash::Sha256.digest(&[&[1], left, right].concat())
}

/// The root of a tree of `size` entries in which the entry with the hash `leaf` has this `index` and these siblings on its
/// way up. `None` when there is no such way: the index is outside, or the siblings are too few, too many or no hashes.
pub fn root_from_path(leaf: &[u8], index: u64, size: u64, path: &[Vec<u8>]) -> Option<Vec<u8>> {
    // Where we are on this level, and where the level ends.
    let (mut at, mut last) = (index, size.checked_sub(1)?);
    if index > last || leaf.len() != 32 {
        return None;
    }
    let mut root = leaf.to_vec();
    for sibling in path {
        if last == 0 || sibling.len() != 32 {
            return None;
        }
        if at & 1 == 1 || at == last {
            root = node_hash(sibling, &root);
            // The last node of a level without a sibling is its own parent.
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            root = node_hash(&root, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tree as RFC 6962 §2.1 defines it, by recursion.
    fn tree(leaves: &[Vec<u8>]) -> Vec<u8> {
        match leaves.len() {
            1 => leaf_hash(&leaves[0]),
            n => {
                let k = n.next_power_of_two() / 2;
                node_hash(&tree(&leaves[..k]), &tree(&leaves[k..]))
            }
        }
    }

    /// The audit path as §2.1.1 defines it.
    fn path(m: usize, leaves: &[Vec<u8>]) -> Vec<Vec<u8>> {
        if leaves.len() == 1 {
            return Vec::new();
        }
        let k = leaves.len().next_power_of_two() / 2;
        let (mut path, sibling) = match m < k {
            true => (path(m, &leaves[..k]), tree(&leaves[k..])),
            false => (path(m - k, &leaves[k..]), tree(&leaves[..k])),
        };
        path.push(sibling);
        path
    }

    #[test]
    fn every_entry_of_every_small_tree_leads_to_its_root_and_nowhere_else() {
        let all: Vec<Vec<u8>> = (0_u8..40).map(|n| vec![n; usize::from(n)]).collect();
        for size in 1..=all.len() {
            let leaves = &all[..size];
            let root = tree(leaves);
            for index in 0..size {
                let (leaf, path) = (leaf_hash(&leaves[index]), path(index, leaves));
                let found = |leaf: &[u8], index: usize, size: usize, path: &[Vec<u8>]| {
                    root_from_path(leaf, index as u64, size as u64, path).is_some_and(|found| found == root)
                };
                assert!(found(&leaf, index, size, &path), "{index} of {size}");
                assert!(!found(&leaf_hash(b"other"), index, size, &path));
                for other in (0..all.len() + 2).filter(|other| *other != index) {
                    assert!(!found(&leaf, other, size, &path), "{other} for {index} of {size}");
                }
                for other in (0..all.len() + 2).filter(|other| *other != size) {
                    // Some trees of other sizes have a way of the same turns; the root is the signed one of this size.
                    let same = root_from_path(&leaf, index as u64, other as u64, &path);
                    assert!(same.is_none_or(|same| same == root || other != size));
                }
                for n in 0..path.len() {
                    let mut flipped = path.clone();
                    flipped[n][0] ^= 1;
                    assert!(!found(&leaf, index, size, &flipped));
                    let mut shorter = path.clone();
                    shorter.remove(n);
                    assert!(!found(&leaf, index, size, &shorter));
                    let mut longer = path.clone();
                    longer.insert(n, vec![0; 32]);
                    assert!(!found(&leaf, index, size, &longer));
                    let mut swapped = path.clone();
                    swapped.rotate_left(1);
                    assert!(path.len() == 1 || !found(&leaf, index, size, &swapped));
                    let mut cut = path.clone();
                    cut[n].pop();
                    assert!(!found(&leaf, index, size, &cut));
                }
            }
        }
    }

    #[test]
    fn no_tree_is_too_large_to_count() {
        let leaf = leaf_hash(b"x");
        for size in [0, 1, 2, u64::MAX - 1, u64::MAX] {
            for index in [0, 1, size.wrapping_sub(1), size, u64::MAX] {
                for length in [0, 1, 63, 64, 65, 200] {
                    let _ = root_from_path(&leaf, index, size, &vec![vec![0; 32]; length]);
                }
            }
        }
        assert!(root_from_path(&leaf, 0, u64::MAX, &vec![vec![0; 32]; 64]).is_some());
        assert!(root_from_path(&leaf, u64::MAX, u64::MAX, &vec![vec![0; 32]; 64]).is_none());
        assert!(root_from_path(&leaf, 0, 0, &[]).is_none());
    }
}

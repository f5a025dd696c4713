//! A map that forgets: what a client that lives for years remembers of the registries it met.
//!
//! Two halves: what is used is in the young one, and when that is full it becomes the old one, and what was the old one
//! is forgotten. So nothing keeps count or time, and the entries used last, at least half of the bound, are always there.
//! Whatever is kept in such a map can be learned again for a request or two.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// A map of at most `2 * HALF` entries.
pub(crate) struct Bounded<K, V, const HALF: usize = 512> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K, V, const HALF: usize> Default for Bounded<K, V, HALF> {
    fn default() -> Self {
        Bounded { young: HashMap::new(), old: HashMap::new() }
    }
}

impl<K: Eq + Hash, V, const HALF: usize> Bounded<K, V, HALF> {
    /// The value of a key, which now counts as used.
    pub(crate) fn get<Q>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        if !self.young.contains_key(key)
            && let Some((key, value)) = self.old.remove_entry(key)
        {
            self.insert(key, value);
        }
        self.young.get_mut(key)
    }

    pub(crate) fn contains<Q>(&mut self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.get(key).is_some()
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        self.old.remove(&key);
        if self.young.len() >= HALF && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    /// The value of a key, made when there is none.
    pub(crate) fn get_or_default(&mut self, key: K) -> &mut V
    where
        K: Clone,
        V: Default,
    {
        if !self.contains(&key) {
            self.insert(key.clone(), V::default());
        }
        self.young.entry(key).or_default()
    }

    pub(crate) fn remove<Q>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.young.remove(key);
        self.old.remove(key);
    }

    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        self.young.retain(&mut keep);
        self.old.retain(keep);
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_is_used_and_forgets_the_rest() {
        let mut map: Bounded<String, usize, 4> = Bounded::default();
        map.insert("used".to_owned(), 7);
        for n in 0..100_000 {
            map.insert(n.to_string(), n);
            assert_eq!(map.get("used"), Some(&mut 7));
            assert!(map.len() <= 8);
        }
        assert_eq!(map.get("99999"), Some(&mut 99_999));
        assert!(!map.contains("99000"));
        map.retain(|key, _| key != "used");
        map.remove("99999");
        assert!(!map.contains("used") && !map.contains("99999"));
        *map.get_or_default("new".to_owned()) += 1;
        *map.get_or_default("new".to_owned()) += 1;
        assert_eq!(map.get("new"), Some(&mut 2));
    }

    #[test]
    fn a_key_has_one_value() {
        let mut map: Bounded<u8, u8, 2> = Bounded::default();
        for (key, value) in [(1, 1), (2, 2), (3, 3), (1, 4), (4, 5)] {
            map.insert(key, value);
        }
        assert_eq!(map.get(&1), Some(&mut 4));
    }
}

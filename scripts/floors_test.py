"""The floors check must be able to fail: each test plants one violation in a copy of core/src."""

from __future__ import annotations

import shutil
import tempfile
import unittest
from pathlib import Path

import floors

SOURCE = floors.HERE.parent / "core" / "src"
RULES = floors.Rules.read(floors.HERE / "floors.toml")


class Floors(unittest.TestCase):
    def planted(self, room: str, text: str) -> list[str]:
        """What the check says about a file with this text, planted in this room of a copy."""
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "src"
            shutil.copytree(SOURCE, copy)
            (copy / room).mkdir(exist_ok=True)
            (copy / room / "planted.rs").write_text(text)
            return [line for line in floors.check(copy, RULES) if "planted.rs" in line]

    def test_lets_a_file_use_its_own_folder_and_floors_below(self) -> None:
        self.assertEqual(
            self.planted("verify", "use crate::{error::Error, key::PublicKey};\nuse super::policy::Policy;"), []
        )

    def test_lets_a_named_sibling_pass(self) -> None:
        self.assertEqual(self.planted("bundle", "use crate::oci::Manifest;"), [])

    def test_refuses_a_floor_above(self) -> None:
        self.assertEqual(
            self.planted("payload", "use crate::error::Error;\nuse crate::client::Client;"),
            ["payload/planted.rs:2: payload (floor 1) uses client (floor 5)"],
        )

    def test_refuses_a_floor_above_inside_a_use_tree(self) -> None:
        self.assertEqual(
            len(self.planted("verify", "use crate::{\n    error::Error,\n    store::{Store, tags},\n};")), 1
        )

    def test_refuses_an_inline_path(self) -> None:
        self.assertEqual(len(self.planted("key", "fn f() { let _ = crate::registry::limits::ERROR; }")), 1)

    def test_refuses_super_that_leaves_the_room(self) -> None:
        self.assertEqual(len(self.planted("oci", "use super::super::verify::Report;")), 1)

    def test_refuses_a_name_re_exported_at_the_root(self) -> None:
        self.assertEqual(len(self.planted("key", "use crate::Policy;")), 1)

    def test_refuses_an_upward_path_in_a_test_module(self) -> None:
        self.assertEqual(len(self.planted("key", "mod tests {\n    use super::super::super::client;\n}")), 1)

    def test_refuses_a_sibling_that_is_not_named(self) -> None:
        self.assertEqual(len(self.planted("oci", "use crate::bundle::legacy;")), 1)

    def test_refuses_a_crypto_library_outside_its_room(self) -> None:
        self.assertEqual(len(self.planted("key", "use p256::ecdsa::Signature;")), 1)
        self.assertEqual(len(self.planted("verify", "fn f() { let _ = ::aws_lc_rs::digest::SHA256; }")), 1)
        self.assertEqual(self.planted("crypto", "use p256::ecdsa::Signature;"), [])

    def test_reads_no_comments_and_no_strings(self) -> None:
        text = '/// [`crate::client::Client`]\n// use crate::client;\nconst A: &str = "crate::client::X";\n/* p256:: */'
        self.assertEqual(self.planted("key", text), [])

    def test_refuses_a_room_without_a_floor(self) -> None:
        self.assertEqual(len(self.planted("attic", "")), 1)

    def test_refuses_a_circle_of_siblings(self) -> None:
        with self.assertRaises(SystemExit):
            rules = floors.Rules({"a": 1, "b": 1}, {"a": ["b"], "b": ["a"]}, {})
            rules.refuse_circle("b", ["a", "b"])


if __name__ == "__main__":
    unittest.main()

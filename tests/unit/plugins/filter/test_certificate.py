# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

from ansible_collections.libcloudspawner.jupyterhub.plugins.filter.certificate import certificate
from certificates import self_signed


def test_it_says_for_which_names_and_until_when_a_certificate_is_good(tmp_path):
    found = certificate(*self_signed(tmp_path, days=10, also="*.class.example.org"))
    assert found["names"] == ["hub.example.org", "*.class.example.org"]
    assert 9 < found["days"] < 10
    assert -2 < found["days_until_start"] < 0
    assert found["fits_key"]
    assert found["is_self_signed"]
    assert found["error"] == ""


def test_names_that_it_is_not_for_are_told(tmp_path):
    made = self_signed(tmp_path, also="*.class.example.org")
    asked = ["hub.example.org", "HUB.example.org", "a.class.example.org", "a.b.class.example.org", "example.org"]
    assert certificate(*made, asked)["lacks"] == ["a.b.class.example.org", "example.org"]


def test_one_that_has_ended_or_not_begun_is_told(tmp_path):
    assert certificate(*self_signed(tmp_path, days=-3))["days"] < -2
    assert certificate(*self_signed(tmp_path, starts_in=3))["days_until_start"] > 2


def test_a_chain_ends_with_the_first_of_its_certificates_that_does(tmp_path):
    own, key = self_signed(tmp_path, days=300)
    other, _ = self_signed(tmp_path, "authority", days=5)
    chain = tmp_path / "chain.crt"
    chain.write_text(Path(own).read_text() + Path(other).read_text())
    found = certificate(str(chain), key)
    assert 4 < found["days"] < 5
    assert found["names"] == ["hub.example.org"]


def test_a_key_of_another_certificate_is_told(tmp_path):
    assert not certificate(self_signed(tmp_path)[0], self_signed(tmp_path, "other")[1])["fits_key"]


def test_what_is_no_certificate_or_no_key_is_told(tmp_path):
    own, key = self_signed(tmp_path)
    (tmp_path / "notes.txt").write_text("notes")
    assert "is no certificate in PEM" in certificate(str(tmp_path / "notes.txt"), key)["error"]
    assert "is no key in PEM" in certificate(own, own)["error"]
    assert "is no key in PEM" in certificate(own, str(tmp_path / "missing"))["error"]

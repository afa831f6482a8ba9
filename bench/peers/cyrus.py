"""Cyrus IMAP, unpacked from Debian's packages with the libraries that it needs; limits raised, else as shipped."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import ClassVar

from bench.peers.dovecot import ITERATIONS
from bench.peers.isolation import isolated
from bench.peers.peer import (
    ENVIRONMENT,
    MOST_SESSIONS,
    PASSWORD,
    USER,
    Ground,
    LeftOut,
    Peer,
    Purpose,
    Running,
    folder_of,
    unpacked,
)

HOST = "cyrus.bench.test"
PROGRAMS = "/usr/lib/cyrus/bin"
SERVICES = """\
START {{
  recover cmd="{programs}/ctl_cyrusdb -C {folder}/imapd.conf -r"
}}
SERVICES {{
  imap cmd="{programs}/imapd -C {folder}/imapd.conf -U 30" listen="127.0.0.1:{port}" prefork=0 maxchild={sessions}
}}
EVENTS {{
  checkpoint cmd="{programs}/ctl_cyrusdb -C {folder}/imapd.conf -c" period=30
}}
"""
SETTINGS = """\
configdirectory: {folder}/config
partition-default: {folder}/mail
defaultpartition: default
cyrus_user: nobody
cyrus_group: nogroup
virtdomains: userid
defaultdomain: {domain}
altnamespace: yes
unixhierarchysep: yes
autocreate_quota: 0
allowplaintext: yes
sasl_pwcheck_method: auxprop
sasl_auxprop_plugin: sasldb
sasl_sasldb_path: {folder}/sasldb2
sasl_mech_list: SCRAM-SHA-256
sasl_scram_iteration_counter: {iterations}
servername: {host}
"""


class Cyrus(Peer):
    """For reading."""

    name = "Cyrus"
    cannot: ClassVar = dict.fromkeys(
        (each for each in Purpose if each is not Purpose.IMAP), "only its IMAP is measured"
    )

    def prepare(self) -> None:
        """Unpack it."""
        if os.geteuid() != 0:
            raise LeftOut("only root can start it")
        self._files = unpacked("cyrus-imapd", "sasl2-bin")

    def start(self, ground: Ground) -> Running:
        """As nobody, with all its files below its folder."""
        folder = ground.folder
        for name in ("config", "mail"):
            folder_of(folder, name, "nobody", "nogroup")
        for name in ("db", "log", "msg", "proc", "quota", "socket", "user"):
            folder_of(folder / "config", name, "nobody", "nogroup")
        user, _, domain = USER.partition("@")
        (folder / "imapd.conf").write_text(
            SETTINGS.format(folder=folder, domain=domain, host=HOST, iterations=ITERATIONS)
        )
        (folder / "cyrus.conf").write_text(
            SERVICES.format(folder=folder, programs=PROGRAMS, port=ground.port, sessions=MOST_SESSIONS)
        )
        self._add_user(folder, user, domain)
        command = [f"{PROGRAMS}/master", "-C", f"{folder}/imapd.conf", "-M", f"{folder}/cyrus.conf"]
        command += ["-p", f"{folder}/master.pid"]
        return self.launch(ground, isolated(folder, [], command, packages=[self._files]), greeting=b"* OK")

    def _add_user(self, folder: Path, user: str, domain: str) -> None:
        file = folder / "sasldb2"
        if file.exists():
            return
        # It looks for users of its default domain under its own name.
        for realm in (domain, HOST):
            command = ["saslpasswd2", "-p", "-c", "-f", str(file), "-u", realm, user]
            command = isolated(folder, [], command, packages=[self._files])
            done = subprocess.run(command, input=PASSWORD.encode(), capture_output=True, env=ENVIRONMENT)
            if done.returncode != 0:
                raise LeftOut(f"saslpasswd2 failed: {done.stderr.decode()[-200:]}")
        shutil.chown(file, "nobody", "nogroup")

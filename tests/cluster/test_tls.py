#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# run: build=asan limit=240 beside=any
"""The link over mutual TLS: flows go over it, certificates are exchanged under way, and nobody comes in without one."""
import pathlib
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import time

import cluster_kit as kit
from test_link import all_heard, hello, refused, stream_news, tally, this_window


def admin(*words):
    return subprocess.run([str(kit.BUILD / "bin" / "sc-admin"), *map(str, words)], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, check=False)


def check_config(file):
    return subprocess.run([str(kit.BUILD / "bin" / "sc-collector"), "--check-config", "-c", str(file)], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False)


def openssl(*words, timeout=20):
    """Its words, whatever it says."""
    done = subprocess.run(["openssl", *map(str, words)], stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
                          check=False, timeout=timeout)
    return done.stdout + done.stderr


def client(node, *words):
    """s_client from the address of a member."""
    return openssl("s_client", "-connect", f"{node.address}:{node.link_port}", "-bind", "127.0.77.1:0", *words)


def identity(folder, name):
    return ["-cert", folder / f"{name}.pem", "-key", folder / f"{name}.key", "-CAfile", folder / "authority.pem"]


def serial(pem):
    return openssl("x509", "-in", pem, "-noout", "-serial").strip()


def serials_shown(node, folder):
    return re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", client(node, "-showcerts", *identity(folder, "n1")),
                      re.DOTALL)


def greet(node, folder, certificate, name, *words):
    """Who shows one certificate and says a name, and more. The connection, greeted."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(folder / "authority.pem")
    context.load_cert_chain(folder / f"{certificate}.pem", folder / f"{certificate}.key")
    bare = socket.create_connection((node.address, node.link_port), 10, ("127.0.77.1", 0))
    secret = context.wrap_socket(bare)
    secret.sendall(b"".join([hello(name), *words]))
    return secret


# ---- the files ----

def certificates(folder):
    """What sc-admin certs makes, keeps, and refuses."""
    members = folder / "cluster.yaml"
    tls = folder / "tls"
    members.write_text("version: 1\nreplication: 1\nmembers:\n  - {name: a, address: '127.0.77.1:4741'}\n"
                       "  - {name: b.example, address: '127.0.77.2:4741'}\n")
    first = admin("certs", f"--cluster={members}", tls)
    kit.check("certs: are made", first.returncode == 0 and first.stdout.count("made ") == 3, first)
    kit.check("certs: keys are their owner's", all(p.stat().st_mode & 0o077 == 0 for p in tls.glob("*.key")))
    verdict = openssl("verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", tls / "authority.pem", tls / "a.pem", tls / "b.example.pem")
    kit.check("certs: OpenSSL finds nothing to blame", verdict.count(": OK") == 2, verdict)
    text = openssl("x509", "-in", tls / "b.example.pem", "-noout", "-text")
    kit.check("certs: of the name", "DNS:b.example" in text and "CA:FALSE" in text and "prime256v1" in text, text)
    before = [serial(tls / f"{name}.pem") for name in ("authority", "a", "b.example")]
    (tls / "a.key").unlink()
    again = admin("certs", f"--cluster={members}", tls)
    kit.check("certs: only what is missing is made again", again.returncode == 0 and again.stdout.count("made ") == 1 and
              again.stdout.count("kept ") == 1, again)
    members.write_text(members.read_text().replace("version: 1", "version: 2") + "  - {name: c, address: '127.0.77.3:4741'}\n")
    more = admin("certs", f"--cluster={members}", tls)
    kit.check("certs: a new member gets one", more.stdout.count("made ") == 1 and more.stdout.count("kept ") == 2, more)
    admin("certs", f"--cluster={members}", "--renew", tls)
    after = [serial(tls / f"{name}.pem") for name in ("authority", "a", "b.example")]
    kit.check("certs: --renew leaves the authority", after[0] == before[0] and after[1] != before[1] and after[2] != before[2], after)
    (tls / "authority.key").unlink()
    lost = admin("certs", f"--cluster={members}", tls)
    kit.check("certs: no second authority beside the first", lost.returncode == 1 and "where both files of it are" in lost.stderr, lost)
    for words, sentence in ((["certs", f"--cluster={members}"], "which folder"), (["certs", tls], "give the membership file"),
                            (["certs", "--cluster=/nowhere.yaml", tls], "/nowhere.yaml"),
                            (["verify", "--renew", tls], "does not go with")):
        told = admin(*words)
        kit.check(f"certs: {sentence}", told.returncode != 0 and sentence in told.stderr and not told.stdout, told)
    members.write_text("version: 1\nreplication: 1\nmembers:\n  - {name: authority, address: '127.0.77.1:4741'}\n")
    told = admin("certs", f"--cluster={members}", folder / "other")
    kit.check("certs: a member's files are not the authority's", told.returncode == 2 and "cannot be called" in told.stderr, told)


def refused_at_the_start(cluster):
    """What is wrong with a node's files, by --check-config and at the start alike."""
    node, tls = cluster.nodes[0], pathlib.Path(cluster.tls)
    bad = cluster.folder / "bad"
    node.write_config()
    text = node.config.read_text()
    config = cluster.folder / "bad.yaml"
    config.write_text(text.replace(str(tls), str(bad)))

    def spoil(what, sentence, spoiling):
        shutil.rmtree(bad, ignore_errors=True)
        shutil.copytree(tls, bad)
        spoiling()
        checked = check_config(config)
        started = subprocess.run([str(kit.BUILD / "bin" / "sc-collector"), "-c", str(config)], stdin=subprocess.DEVNULL, capture_output=True,
                                 text=True, check=False, timeout=20)
        kit.check(f"start: {what}", checked.returncode == started.returncode == 2 and sentence in checked.stderr and
                  sentence in started.stderr and "PRIVATE" not in started.stderr, (checked, started))

    spoil("a key that everybody may read", "open to everybody", lambda: (bad / "n1.key").chmod(0o644))
    spoil("an authority that everybody may write", "open to everybody", lambda: (bad / "authority.pem").chmod(0o646))
    spoil("a folder that everybody may write to", "everybody may write", lambda: bad.chmod(0o757))
    spoil("no key", "sc-admin certs", (lambda: (bad / "n1.key").unlink()))
    spoil("no authority", "authority.pem", (lambda: (bad / "authority.pem").unlink()))
    spoil("the key of another", "n1.key", lambda: shutil.copy(bad / "n2.key", bad / "n1.key"))
    spoil("the certificate of another", "no certificate of n1", lambda: (shutil.copy(bad / "n2.key", bad / "n1.key"),
                                                                        shutil.copy(bad / "n2.pem", bad / "n1.pem")))
    spoil("no certificate in the file", "n1.pem", lambda: (bad / "n1.pem").write_text("nothing\n"))
    spoil("a folder in place of a key", "is no file", lambda: ((bad / "n1.key").unlink(), (bad / "n1.key").mkdir()))
    spoil("a key with a password", "has a password",
          lambda: openssl("pkey", "-in", tls / "n1.key", "-aes128", "-passout", "pass:x", "-out", bad / "n1.key"))

    def another_authority():
        (bad / "authority.key").unlink()
        (bad / "authority.pem").unlink()
        for keep in ("n1.pem", "n1.key"):
            shutil.move(bad / keep, bad / f"{keep}.mine")
        admin("certs", f"--cluster={cluster.file}", bad)
        for keep in ("n1.pem", "n1.key"):
            shutil.move(bad / f"{keep}.mine", bad / keep)
    spoil("signed by another authority", "n1.pem", another_authority)
    far = cluster.folder / "far.yaml"
    far.write_text("version: 1\nreplication: 1\nmembers:\n  - {name: n1, address: '127.0.77.1:4741'}\n  - {name: n2, address: '192.0.2.1:4741'}\n")
    config.write_text(re.sub("tls: .*\n", "", text).replace(str(cluster.file), str(far)))
    told = check_config(config)
    kit.check("start: nothing is said about members elsewhere", told.returncode == 2 and "link: plain" in told.stderr and "n2" in told.stderr, told)
    config.write_text(config.read_text() + "link: plain\n")
    kit.check("start: plain is what is said", check_config(config).returncode == 0)
    config.write_text(config.read_text().replace("link: plain", "link: maybe"))
    told = check_config(config)
    kit.check("start: anything else is not understood", told.returncode == 2 and "neither" in told.stderr, told)


# ---- the door; each with the same cluster of three, which takes flows all the while ----

def not_admitted(cluster):
    """With openssl s_client, and with nothing of the kind, from the address of a member."""
    tls, other = pathlib.Path(cluster.tls), cluster.folder / "other"
    n2 = cluster.nodes[1]
    admin("certs", f"--cluster={cluster.file}", other)
    cases = (("no certificate", ["-tls1_3"], "certificate required"),
             ("TLS 1.2", ["-tls1_2", *identity(tls, "n1")], "protocol version"),
             ("another authority's", ["-tls1_3", "-cert", other / "n1.pem", "-key", other / "n1.key"], "unknown ca"))
    for count, (what, words, sentence) in enumerate(cases, 1):
        told = client(n2, "-ign_eof", *words)  # until it is closed
        kit.check(f"door: {what}", sentence in told and "RecordHeader" not in told, told)
        kit.check(f"door: {what}: is counted", kit.wait_for(lambda c=count: refused(n2, "tls") == c), n2.status()["cluster"])
    with socket.create_connection((n2.address, n2.link_port), 10, ("127.0.77.1", 0)) as plain:
        plain.sendall(hello("n1") + tally(0xDEAD, this_window(cluster), 60))
        heard = all_heard(plain)
        kit.check("door: plain TCP hears no greeting", heard is not None and b"n2" not in heard, heard)
    kit.check("door: it is counted", kit.wait_for(lambda: refused(n2, "tls") == len(cases) + 1), n2.status()["cluster"])
    with socket.create_connection((n2.address, n2.link_port), 10, ("127.0.77.1", 0)) as half:
        half.sendall(b"\x16\x03\x01\x02\x00\x01")  # the begin of a ClientHello
        kit.check("door: a handshake that does not go on is ended", all_heard(half) is not None)
    kit.check("door: and counted", kit.wait_for(lambda: refused(n2, "no_greeting") == 1), n2.status()["cluster"])
    with greet(n2, tls, "n3", "n1", tally(0xDEAD, this_window(cluster), 60), stream_news(0xBEEF)) as liar:
        kit.check("door: the certificate of one, the name of another", all_heard(liar) is not None)
    kit.check("door: it is counted too", kit.wait_for(lambda: refused(n2, "certificate") == 1), n2.status()["cluster"])
    kit.check("door: the log names them", all(s in n2.log.read_text() for s in ("did not return a certificate", "greetings under another name")),
              n2.log.read_text())
    kit.check("door: nothing is kept of it", not list(n2.store.glob(".streams/*dead")) + list(n2.store.glob(".streams/*beef")) +
              list(n2.store.glob("2*/**/*dead.tally")))
    with greet(n2, tls, "n1", "n1") as member:
        kit.check("door: the certificate of the name opens it", member.recv(1000) != b"" and member.version() == "TLSv1.3")


def scanned(cluster):
    """By testssl.sh: TLS 1.3 and nothing older."""
    n2 = cluster.nodes[1]
    tool = shutil.which("testssl") or shutil.which("testssl.sh")
    if tool is None:
        kit.check("door: testssl.sh is there", False)
        return
    done = subprocess.run([tool, "--quiet", "--color", "0", "--warnings", "off", "--protocols", f"{n2.address}:{n2.link_port}"],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False, timeout=120)
    found = {m[1]: m[2] for m in re.finditer(r"^ (SSLv2|SSLv3|TLS 1(?:\.\d)?)\s+(offered|not offered)", done.stdout, re.MULTILINE)}
    wanted = {"SSLv2": "not offered", "SSLv3": "not offered", "TLS 1": "not offered", "TLS 1.1": "not offered", "TLS 1.2": "not offered",
              "TLS 1.3": "offered"}
    kit.check("door: testssl.sh finds TLS 1.3 alone", found == wanted, done.stdout + done.stderr)


def connects(cluster):
    return [[m.get("connects") for m in n.status()["cluster"]["members"]] for n in cluster.nodes]


def exchanged(cluster):
    """Other certificates while flows come: no connection ends, and those that come later show the new ones."""
    tls = pathlib.Path(cluster.tls)
    n1, n2, n3 = cluster.nodes
    before, shown = connects(cluster), serials_shown(n2, tls)
    cluster.certify("--renew")
    for n in cluster.nodes:
        n.reload()
    kit.check("exchange: the log says so", all(kit.wait_for(lambda n=n: n.log.read_text().count("certificate is valid for") == 2) for n in cluster.nodes),
              cluster.logs())
    kit.check("exchange: connections that come show the new one",
              kit.wait_for(lambda: serials_shown(n2, tls) not in ([], shown)), serials_shown(n2, tls))
    kit.check("exchange: no connection ended", connects(cluster) == before, connects(cluster))
    n3.kill()
    n3.start()
    kit.check("exchange: who connects anew is known", kit.wait_for(lambda: all(n.usable() == ["n1", "n2", "n3"] for n in cluster.nodes)),
              cluster.logs())
    key = tls / "n1.key"
    key.chmod(0o644)
    n1.reload()
    kit.check("exchange: what is refused changes nothing", kit.wait_for(lambda: "stay as they are: " in n1.log.read_text()) and
              n1.usable() == ["n1", "n2", "n3"], n1.log.read_text())
    key.chmod(0o600)


def datagrams(address, _timeout):
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.connect(address)
    return made


def slow_to_greet(cluster):
    """A member whose handshake takes longer than a tick: nothing is said to it before the greeting, though there are templates to tell."""
    n1, _, n3 = cluster.nodes
    kit.Exporter(n1, domain=7, connect=datagrams, datagrams=True).close()
    time.sleep(0.5)
    before = refused(n3, "malformed")
    for _ in range(3):
        n3.freeze()
        kit.wait_for(lambda: n1.usable() == ["n1", "n2"])
        time.sleep(1.5)  # connections are begun, and taken by its kernel
        n3.thaw()
        kit.check("slow: it comes back", kit.wait_for(lambda: all(n.usable() == ["n1", "n2", "n3"] for n in cluster.nodes)), cluster.logs())
    kit.check("slow: what it heard made sense", refused(n3, "malformed") == before, n3.log.read_text())


def no_longer_here(folder):
    """Members of one machine do without; that one comes from elsewhere is refused while they do."""
    cluster = kit.Cluster(folder, 1, 1).start()
    alone = cluster.nodes[0]
    far = kit.Node(cluster, "far", "192.0.2.1", ["proxy", "subcollector"], link_port=4741, port=4739)
    cluster.write_members(2, [alone, far])
    alone.reload()
    kit.check("elsewhere: a member on another machine is not taken over", kit.wait_for(
        lambda: "the members stay as they are: the member far is on another machine" in alone.log.read_text()), alone.log.read_text())
    kit.check("elsewhere: the members are as before", alone.status()["cluster"]["version"] == 1, alone.status()["cluster"])
    near = kit.Node(cluster, "near", "127.0.77.9", ["proxy"], link_port=4741, port=4739)
    cluster.write_members(3, [alone, near])
    text = cluster.file.read_text()
    cluster.file.write_text(text.replace("roles: [proxy]}", "roles: [proxy], from: [192.0.2.1]}"))
    alone.reload()
    kit.check("elsewhere: nor one that comes from there", kit.wait_for(lambda: "the member near is on another machine" in alone.log.read_text()),
              alone.log.read_text())
    cluster.file.write_text(text)
    alone.reload()
    kit.check("elsewhere: one that is here is", kit.wait_for(lambda: alone.status()["cluster"]["version"] == 3), alone.log.read_text())
    cluster.stop()


def one_is_plain(cluster):
    """A member that speaks no TLS takes no part, and both sides say why."""
    n1, n2, n3 = cluster.nodes
    tls, cluster.tls = cluster.tls, None
    before = refused(n2, "tls")
    n3.stop()
    n3.write_config()
    n3.child = subprocess.Popen(n3.command(), stdin=subprocess.DEVNULL, stdout=open(n3.log, "ab"), stderr=subprocess.STDOUT)
    kit.check("plain: the others say what it is", kit.wait_for(lambda: "speaks none" in (n1.member("n3")["problem"] or "")), n1.member("n3"))
    kit.check("plain: and it has nobody but itself", kit.wait_for(lambda: n3.usable() == ["n3"]), n3.log.read_text())
    kit.check("plain: which is counted", kit.wait_for(lambda: refused(n2, "tls") > before), n2.status()["cluster"])
    cluster.tls = tls
    n3.stop()
    n3.start()
    kit.check("plain: it comes back", kit.wait_for(lambda: all(n.usable() == ["n1", "n2", "n3"] for n in cluster.nodes)), cluster.logs())


def main():
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "certs").mkdir()
        certificates(folder / "certs")
        (folder / "here").mkdir()
        no_longer_here(folder / "here")
        cluster = kit.Cluster(folder, 3, 2, tls=folder / "tls")
        scanner = kit.Node(cluster, "scanner", "127.0.0.1", ["proxy"], link_port=4741, port=4739)  # where testssl.sh comes from
        cluster.write_members(2, [*cluster.nodes, scanner])
        refused_at_the_start(cluster)
        cluster.start()
        kit.check("tls: status says so", all(n.status()["cluster"]["link"] == "tls" and n.status()["cluster"]["certificate_days"] > 700
                                             for n in cluster.nodes))
        exporter = kit.Exporter(cluster.nodes[0])
        sent = set()
        for number, scenario in enumerate((not_admitted, scanned, exchanged, slow_to_greet, one_is_plain)):
            sent |= set(exporter.send(number * 100000, 40000))
            scenario(cluster)
            kit.wait_for(lambda: all(n.waiting() == 0 for n in cluster.nodes))
            time.sleep(1.2)  # the tallies of it
            kit.check_numbers(f"{scenario.__name__}: every flow once, and complete", [n.store for n in cluster.nodes], sent)
        exporter.close()
        kit.check("tls: all end with 0", set(cluster.stop()) == {0}, cluster.logs())
    return 1 if kit.FAILED else 0


if __name__ == "__main__":
    raise SystemExit(main())

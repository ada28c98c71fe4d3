#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# run: build=release limit=400 beside=any
"""What an operator does with a cluster that grows and breaks, on machines that are set up as docs/operations.md has it: a fourth machine comes,
and one gets a new disk. Each thing that he types or writes is a step, and they are counted. Nothing may be missing at any moment."""
import json
import shutil

import cluster_kit as kit
import query_kit
import test_recipes as recipes

WINDOW_S = 20
SETTINGS = "/etc/securitycloud"


class Operator:
    def __init__(self):
        self.steps = []

    def type(self, place, text, wanted=(0,)):
        self.steps.append(text)
        done = place.run(text)
        if done.returncode not in wanted:
            raise SystemExit(f"{place.machine.name}: {text}: {query_kit.describe(done)}")
        return done

    def write(self, path, text):
        self.steps.append(f"writes {path.name}")
        path.write_text(text, encoding="utf-8")

    def told(self, what):
        print(f"# {what}: {len(self.steps)} steps: {'; '.join(self.steps)}", flush=True)
        self.steps = []


def is_well(place):
    """All is said to be well, but for what lacks copies yet."""
    done = place.run("sc-admin status --cluster --json")
    status = json.loads(done.stdout) if done.stdout else {"well": False, "windows": []}
    return status["well"] and not any(w["fewer_copies"] or w["one_copy"] for w in status["windows"])


def reload(operator, places, names):
    for name in names:
        operator.steps.append(f"on {name}: pkill -HUP sc-collector")
        places[name].child.send_signal(1)


def spread(operator, places, names):
    """The membership file of alpha to the others, by scp."""
    for name in names:
        operator.type(places["alpha"], f"scp {SETTINGS}/cluster.yaml {recipes.NODES.get(name, '192.0.2.4')}:{SETTINGS}/")
    reload(operator, places, ["alpha", *(n for n in names if places[n].child)])


def answers(place, flows):
    done = place.run(recipes.COUNT)
    return done.returncode == 0 and query_kit.summary(done)[0] == flows


def three(lab, folder):
    places = recipes.set_up(lab, folder, WINDOW_S)
    recipes.feed(places["alpha"])
    kit.check("drill: three machines by the documents: all is well", kit.wait_for(lambda: is_well(places["alpha"]), 90),
              query_kit.describe(places["alpha"].run("sc-admin status --cluster")))
    return places


def fourth(lab, folder, places):
    operator, alpha = Operator(), places["alpha"]
    path = alpha.settings / "cluster.yaml"
    operator.write(path, path.read_text(encoding="utf-8").replace("version: 1 ", "version: 2 ") + "  - name: delta\n    address: 192.0.2.4:4741\n")
    places["delta"] = new = recipes.Place(lab, folder, "delta", "192.0.2.4")
    operator.steps += recipes.find(r"^(useradd|install -d) ")[:2]  # which a Place has typed
    operator.write(new.settings / "collector.yaml", recipes.settings_for("delta", WINDOW_S))
    new.settings.joinpath("tls").mkdir()
    recipes.make_keys(folder, [new], made=True)
    new.start(lab, recipes.SSHD)
    operator.type(alpha, recipes.find("^sc-admin certs")[0])
    kit.wait_for(lambda: alpha.run("ssh 192.0.2.4 true").returncode == 0)
    operator.type(alpha, f"scp tls/authority.pem tls/delta.pem tls/delta.key 192.0.2.4:{SETTINGS}/tls/")
    operator.type(new, f"chmod 640 {SETTINGS}/tls/delta.key; chown root:securitycloud {SETTINGS}/tls/delta.key")
    spread(operator, places, ["beta", "gamma", "delta"])
    operator.type(new, "sc-collector --check-config")
    operator.steps.append("on delta: starts sc-collector")
    new.collect(lab)
    kit.check("drill: a fourth machine: nothing is missing meanwhile", answers(alpha, recipes.FLOWS))
    kit.check("drill: a fourth machine: all is well, and has its copies", kit.wait_for(lambda: is_well(alpha), 120),
              query_kit.describe(alpha.run("sc-admin status --cluster")))
    recipes.feed(alpha, 2 * recipes.FLOWS)
    operator.told("a fourth machine")


def new_disk(lab, places):
    operator, alpha, odd = Operator(), places["alpha"], places["gamma"]
    operator.steps.append("on gamma: stops sc-collector")
    odd.child.terminate()
    odd.child.wait(30)
    shutil.rmtree(odd.store)
    kit.check("drill: a machine is away: nothing is missing", kit.wait_for(lambda: answers_without(alpha, "gamma"), 20),
              query_kit.describe(alpha.run(recipes.COUNT)))
    operator.type(odd, recipes.find(r"^install -d ")[0])
    operator.steps.append("on gamma: starts sc-collector")
    odd.collect(lab)
    kit.wait_for(lambda: odd.run("sc-admin ping").returncode == 0)
    operator.type(odd, "sc-admin heal", wanted=(0, 3))
    kit.check("drill: a new disk: all is well, and has its copies", kit.wait_for(lambda: is_well(alpha), 120),
              query_kit.describe(alpha.run("sc-admin status --cluster")))
    kit.check("drill: a new disk: nothing is missing", answers(alpha, 2 * recipes.FLOWS), query_kit.describe(alpha.run(recipes.COUNT)))
    operator.told("a new disk")


def answers_without(place, name):
    """All is there though the machine's store is empty: it is asked, and has nothing."""
    done = place.run(recipes.COUNT)
    return query_kit.summary(done)[0] == 2 * recipes.FLOWS and (done.returncode == 0 or name in done.stdout + done.stderr)


def main():
    with recipes.installed() as (lab, folder):
        places = three(lab, folder)
        fourth(lab, folder, places)
        new_disk(lab, places)
    return 1 if kit.FAILED else 0


if __name__ == "__main__":
    raise SystemExit(main())

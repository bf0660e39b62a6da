"""The scripts of MongoDB's container, in front of a database that is not one.

There is no mongod and so no mongosh here: this holds the scripts to what they must do in each
state, not to what a real database says of it.
"""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from tests.deploy.tools import DEPLOY, program

AROUND = """
const calls = [];
const state = JSON.parse(process.env.STATE);
const db = {
  getSiblingDB: (name) => ({
    auth: (user, password) => calls.push(["auth", name, user, password]),
    createUser: (user) => calls.push(["createUser", name, user]),
  }),
  hello: () => state.hello,
};
const rs = {
  status: () => {
    if (state.error) throw Object.assign(new Error(state.error), { codeName: state.error });
  },
  initiate: (config) => calls.push(["initiate", config]),
};
const quit = (code) => calls.push(["quit", code]);
new Function("db", "rs", "quit", require("fs").readFileSync(process.argv[1], "utf8"))(db, rs, quit);
console.log(JSON.stringify(calls));
"""


def calls(script: str, **state: object) -> list[list]:
    settings = {"MONGO_INITDB_ROOT_USERNAME": "root", "MONGO_INITDB_ROOT_PASSWORD": "ofroot"}
    done = subprocess.run(
        [program("node"), "-e", AROUND, str(DEPLOY / "mongodb" / script)],
        check=True,
        capture_output=True,
        text=True,
        env={
            **os.environ,
            **settings,
            "SURTITLE_MONGO_PASSWORD": "ofgateways",
            "STATE": json.dumps(state),
        },
    )
    return json.loads(done.stdout)


AUTH = ["auth", "admin", "root", "ofroot"]


def test_the_health_check_makes_a_replica_set_of_a_fresh_database_and_says_not_yet():
    config = {"_id": "rs0", "members": [{"_id": 0, "host": "mongodb:27017"}]}
    found = calls("health.js", error="NotYetInitialized", hello={"isWritablePrimary": False})
    assert found == [AUTH, ["initiate", config], ["quit", 1]]


@pytest.mark.parametrize("role", ["isWritablePrimary", "secondary"])
def test_a_member_that_serves_is_well(role):
    assert calls("health.js", hello={role: True}) == [AUTH, ["quit", 0]]


def test_any_other_error_is_one():
    with pytest.raises(subprocess.CalledProcessError):
        calls("health.js", error="Unauthorized", hello={})


def test_gateways_may_use_their_own_database_only():
    roles = [{"role": "readWrite", "db": "surtitle"}]
    user = {"user": "surtitle", "pwd": "ofgateways", "roles": roles}
    assert calls("user.js") == [["createUser", "surtitle", user]]

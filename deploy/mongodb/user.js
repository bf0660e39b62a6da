// Runs once, on an empty database: the user that gateways are, who may read and write the
// transcripts and nothing else.
db.getSiblingDB("surtitle").createUser({
  user: "surtitle",
  pwd: process.env.SURTITLE_MONGO_PASSWORD,
  roles: [{ role: "readWrite", db: "surtitle" }],
});

// The health check of the database, which makes it a replica set the first time. One member
// is one, and may grow: rs.add("mongodb-2:27017").
const admin = db.getSiblingDB("admin");
admin.auth(process.env.MONGO_INITDB_ROOT_USERNAME, process.env.MONGO_INITDB_ROOT_PASSWORD);
try {
  rs.status();
} catch (error) {
  if (error.codeName !== "NotYetInitialized") throw error;
  rs.initiate({ _id: "rs0", members: [{ _id: 0, host: "mongodb:27017" }] });
}
// Writable here, or the member of a set that has a primary elsewhere.
quit(db.hello().isWritablePrimary || db.hello().secondary ? 0 : 1);

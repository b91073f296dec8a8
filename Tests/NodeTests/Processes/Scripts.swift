// Foreign programs in Python, as an app's author would write them: plain SQL, an ordinary busy
// timeout, and a diary of what was committed.

enum Scripts {
    /// Writes until its input ends or it is killed. Before each transaction it notes what it will do, and
    /// after the commit that it did.
    ///
    /// Arguments: database, diary, name of the machine, seed, pause between transactions in seconds.
    /// A row of `own` has one writer; a row of `shared` has one column for each machine; rows of
    /// `fought` belong to nobody.
    static let writer = """
        import os, random, select, sqlite3, sys, time
        file, diary, name, seed, pause = sys.argv[1:6]
        random.seed(int(seed))
        log = os.open(diary, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        def note(*words): os.write(log, (" ".join(map(str, words)) + "\\n").encode())
        c = sqlite3.connect(file, timeout=5, isolation_level=None)
        c.execute("PRAGMA synchronous = NORMAL")
        life = "%s-%x" % (name, time.time_ns())
        mine = []
        count = 0
        def plan():
            global count
            count += 1
            v = time.time_ns()
            kind = random.randrange(10)
            if kind < 3 or not mine:
                n = random.choice([1, 1, 1, 20])
                keys = ["%s-%d-%d" % (life, count, i) for i in range(n)]
                mine.extend(keys)
                return [("own", k, "insert", v) for k in keys]
            if kind < 5: return [("own", random.choice(mine), "update", v)]
            if kind == 5: return [("own", mine.pop(random.randrange(len(mine))), "delete", 0)]
            if kind < 8: return [("shared", str(random.randrange(20)), "update", v)]
            return [("fought", str(random.randrange(8)), random.choice(["insert", "update", "delete"]), v)]
        def do(table, key, kind, v):
            if table == "shared":
                c.execute("UPDATE shared SET %s = ? WHERE id = ?" % name, (v, key))
            elif kind == "insert":
                c.execute("INSERT OR REPLACE INTO %s(id, v) VALUES(?, ?)" % table, (key, v))
            elif kind == "update":
                c.execute("UPDATE %s SET v = ? WHERE id = ?" % table, (v, key))
            else:
                c.execute("DELETE FROM %s WHERE id = ?" % table, (key,))
        while not select.select([sys.stdin], [], [], float(pause))[0]:
            work = plan()
            for item in work: note("will", *item)
            try:
                c.execute("BEGIN IMMEDIATE")
                for item in work: do(*item)
                c.execute("COMMIT")
            except sqlite3.Error as error:
                if c.in_transaction: c.execute("ROLLBACK")
                for item in work: note("not", *item)
                note("error", error)
                continue
            for item in work: note("did", *item)
        """

    /// Compares databases with the diaries of the writers; prints what is missing, then `checked`
    /// and the number of keys.
    ///
    /// Arguments: databases, `--`, then pairs of a machine and its diary.
    static let checker = """
        import sqlite3, sys
        split = sys.argv.index("--")
        files, diaries = sys.argv[1:split], sys.argv[split + 1:]
        # What each key may show: after the last commit that was noted, or after one that may have come since.
        allowed = {}
        for name, diary in zip(diaries[::2], diaries[1::2]):
            for line in open(diary):
                words = line.split()
                if words[0] == "error":
                    print("a statement of", name, "failed:", line.strip())
                    continue
                state, table, key, kind, v = words
                if table == "fought": continue
                v = None if kind == "delete" else int(v)
                place = (table, key, name if table == "shared" else "v")
                known = allowed.setdefault(place, [None])
                if state == "will": known.append(v)
                elif state == "not": known.remove(v)
                else: allowed[place] = [v]
        for file in files:
            c = sqlite3.connect(file, timeout=5)
            shown = {("own", k, "v"): v for k, v in c.execute("SELECT id, v FROM own")}
            names = [n for n in diaries[::2]]
            for row in c.execute("SELECT id, %s FROM shared" % ", ".join(names)):
                for name, v in zip(names, row[1:]): shown[("shared", row[0], name)] = v
            for place, values in allowed.items():
                if shown.get(place) not in values:
                    print("LOST in", file, place, "shows", shown.get(place), "not one of", values)
            for place in shown.keys() - allowed.keys():
                if place[0] == "own": print("UNKNOWN in", file, place)
        print("checked", len(allowed))
        """

    static let tables = """
        CREATE TABLE own(id TEXT PRIMARY KEY NOT NULL, v INTEGER);
        CREATE TABLE shared(id TEXT PRIMARY KEY NOT NULL, ann, bob, cid);
        CREATE TABLE fought(id TEXT PRIMARY KEY NOT NULL, v INTEGER);
        WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 19)
        INSERT INTO shared(id) SELECT CAST(i AS TEXT) FROM n;
        """
}

import { describe, expect, test } from "bun:test";
import { History, Selection, sameEvents, type WatchedEvent } from "./history.ts";

function event(type: string, key: string, revision: number, id: number): WatchedEvent {
  return { type, key, revision, id, selected: true };
}

/** A history of one acknowledged create of `a` at 10. */
function created() {
  const history = new History();
  const write = history.begin("a", "create");
  history.done(write, 10);
  return { history, shown: event("ADDED", "a", 10, write.id) };
}

describe("a checker of promises", () => {
  test("accepts what was asked, answered and shown", () => {
    const { history, shown } = created();
    const update = history.begin("a", "update");
    history.done(update, 11);
    const gone = history.begin("a", "delete");
    history.done(gone);
    const all = [
      shown,
      event("MODIFIED", "a", 11, update.id),
      event("DELETED", "a", 12, update.id),
    ];
    history.check(all, history.owed());
    history.compare([]);
    expect(history.checkedEvents).toBe(3);
  });

  test("accepts an unanswered write that happened, and one that did not", () => {
    const { history, shown } = created();
    const lost = history.begin("a", "update");
    const kept = history.begin("b", "create");
    history.restarted();
    history.refused(lost);
    history.check([shown, event("ADDED", "b", 11, kept.id)], history.owed());
    history.found(kept, 11);
    history.compare([
      { key: "a", revision: 10, id: 1 },
      { key: "b", revision: 11, id: kept.id },
    ]);
  });

  test("names a lost write", () => {
    const { history } = created();
    expect(() => history.check([], history.owed())).toThrow("no watch event showed it");
    const { history: other, shown } = created();
    other.check([shown], other.owed());
    expect(() => other.compare([])).toThrow("a, last written at 10, is not listed");
  });

  test("names a lost delete", () => {
    const { history, shown } = created();
    history.done(history.begin("a", "delete"));
    expect(() => history.check([shown], history.owed())).toThrow("delete a (write 2)");
  });

  test("names a resourceVersion that was used before the restart", () => {
    const { history } = created();
    history.know(15);
    history.restarted();
    const write = history.begin("b", "create");
    expect(() => history.done(write, 15)).toThrow("resourceVersion 15 was reused");
  });

  test("names an event that comes twice or too late", () => {
    const { history, shown } = created();
    expect(() => history.check([shown, shown], [])).toThrow("doubled or out of order");
    const { history: other, shown: newer } = created();
    const late = other.begin("b", "create");
    const older = event("ADDED", "b", 9, late.id);
    expect(() => other.check([newer, older], [])).toThrow("doubled or out of order, after 10");
  });

  test("names an event of another resourceVersion than the acknowledged one", () => {
    const { history, shown } = created();
    const moved = { ...shown, revision: 11 };
    expect(() => history.check([moved], [])).toThrow("acknowledged at 10");
    const late = new History();
    const write = late.begin("a", "create");
    late.check([event("ADDED", "a", 10, write.id)], []);
    expect(() => late.done(write, 11)).toThrow("acknowledged at 11, seen at 10");
  });

  test("names a write that happened although it was refused", () => {
    const { history, shown } = created();
    const refused = history.begin("a", "update");
    history.refused(refused);
    const wrong = event("MODIFIED", "a", 11, refused.id);
    expect(() => history.check([shown, wrong], [])).toThrow("it was refused");
  });

  test("names a write that happened twice and one that nobody asked", () => {
    const { history, shown } = created();
    const gone = history.begin("a", "delete");
    history.done(gone);
    const again = [shown, event("DELETED", "a", 11, 1), event("ADDED", "a", 12, 1)];
    expect(() => history.check(again, [])).toThrow("seen before at 10");
    const foreign = event("ADDED", "c", 13, 99);
    expect(() => history.check([foreign], [])).toThrow("nobody asked");
  });

  test("names an update that overwrote what it had not read", () => {
    const { history, shown } = created();
    const first = history.begin("a", "update");
    const second = history.begin("a", "update");
    const blind = { ...event("MODIFIED", "a", 12, second.id), base: shown.id };
    const all = [shown, event("MODIFIED", "a", 11, first.id), blind];
    expect(() => history.check(all, [])).toThrow("based on 1, overwrote 2");
  });

  test("names a list that differs from what was shown", () => {
    const { history, shown } = created();
    history.check([shown], []);
    const other = { key: "a", revision: 10, id: 7 };
    expect(() => history.compare([other])).toThrow("listed with content 7 at 10");
    const more = { key: "b", revision: 11, id: 8 };
    expect(() => history.compare([{ ...other, id: 1 }, more])).toThrow("b is listed");
  });
});

test("a selector turns changes of the label into ADDED and DELETED", () => {
  const selection = new Selection();
  const seen = selection.of([
    { ...event("ADDED", "a", 1, 1), selected: false },
    event("MODIFIED", "a", 2, 2),
    event("MODIFIED", "a", 3, 3),
    { ...event("MODIFIED", "a", 4, 4), selected: false },
    { ...event("DELETED", "a", 5, 4), selected: false },
  ]);
  const expected = [
    event("ADDED", "a", 2, 2),
    event("MODIFIED", "a", 3, 3),
    event("DELETED", "a", 4, 4),
  ];
  sameEvents("selecting", seen, expected);
  expect(() => sameEvents("selecting", seen.slice(1), expected)).toThrow(
    "selecting saw MODIFIED a at 3 where ADDED a at 2 was due",
  );
});

import { expect, test } from "bun:test";
import { ParsedObject } from "../live/live-object.ts";
import { LiveSetImpl } from "../live/live-set-impl.ts";
import type { KubeObject } from "../schema/object.ts";
import type { Selection } from "./selection.ts";
import { Audience, type Listener } from "./watch-audience.ts";

function objectOf(key: string, revision: number, app: string) {
  const [namespace = "", name = ""] = key.split("/");
  const metadata = { name, namespace, resourceVersion: `${revision}`, labels: { app } };
  return new ParsedObject<KubeObject>(key, { apiVersion: "v1", kind: "Thing", metadata });
}

/** A selection by the label `app`, which counts how often it is asked. */
function selectionOf(prefix: string, app: string) {
  const asked = { times: 0 };
  const selection: Selection = {
    text: `${prefix}${app}`,
    prefix,
    selects: app !== "",
    key: undefined,
    label: undefined,
    field: undefined,
    selectsBeyondKey: true,
    matches: ({ labels }) => {
      asked.times += 1;
      return labels?.app === app;
    },
  };
  return { selection, asked };
}

class Told implements Listener {
  readonly events: string[] = [];

  tell(...[{ type, object }, revision]: Parameters<Listener["tell"]>): void {
    this.events.push(`${type} ${object.key} ${object.object.metadata.resourceVersion} ${revision}`);
  }
}

test("those who asked the same are told of one judgement, in whatever namespace", () => {
  const set = new LiveSetImpl<KubeObject>();
  set.reset([], 1);
  const audience = new Audience(set, {});
  const { selection, asked } = selectionOf("default/", "x");
  const [one, other, everywhere, elsewhere] = [new Told(), new Told(), new Told(), new Told()];
  audience.join(selection, one);
  audience.join(selectionOf("default/", "x").selection, other);
  audience.join(selectionOf("", "").selection, everywhere);
  audience.join(selectionOf("kube-system/", "").selection, elsewhere);
  set.apply([{ type: "put", now: objectOf("default/a", 2, "x") }]);
  expect(asked.times).toBe(1);
  set.apply([{ type: "put", now: objectOf("default/a", 3, "y") }]);
  set.apply([{ type: "put", now: objectOf("kube-system/b", 4, "x") }]);
  // What leaves a selection is shown as it last was, with the revision at which it left.
  expect(one.events).toEqual(["ADDED default/a 2 2", "DELETED default/a 3 3"]);
  expect(other.events).toEqual(one.events);
  expect(everywhere.events).toEqual([
    "ADDED default/a 2 2",
    "MODIFIED default/a 3 3",
    "ADDED kube-system/b 4 4",
  ]);
  expect(elsewhere.events).toEqual(["ADDED kube-system/b 4 4"]);
});

test("who leaves is told no more, and the others are", () => {
  const set = new LiveSetImpl<KubeObject>();
  set.reset([], 1);
  const audience = new Audience(set, {});
  const { selection } = selectionOf("", "x");
  const [leaver, stayer] = [new Told(), new Told()];
  audience.join(selection, leaver);
  expect(audience.shared(selectionOf("", "x").selection)).toBe(selection);
  audience.join(selection, stayer);
  audience.leave(selection, leaver);
  set.apply([{ type: "put", now: objectOf("default/a", 2, "x") }]);
  audience.leave(selection, stayer);
  const later = selectionOf("", "x").selection;
  expect(audience.shared(later)).toBe(later);
  set.apply([{ type: "put", now: objectOf("default/a", 3, "x") }]);
  expect([leaver.events, stayer.events]).toEqual([[], ["ADDED default/a 2 2"]]);
  audience.join(later, stayer);
  set.apply([{ type: "put", now: objectOf("default/a", 4, "x") }]);
  expect(stayer.events.at(-1)).toBe("MODIFIED default/a 4 4");
});

test("a change is only brought to those whose field it touches", () => {
  const set = new LiveSetImpl<KubeObject>();
  set.reset([], 1);
  const audience = new Audience(set, { app: ({ metadata }) => metadata.labels?.app ?? "" });
  const watch = (prefix: string, app: string) => {
    const { selection, asked } = selectionOf(prefix, app);
    const told = new Told();
    audience.join({ ...selection, field: { path: "app", value: app } }, told);
    return { told, asked };
  };
  const [x, y, z, elsewhere] = [watch("", "x"), watch("", "y"), watch("", "z"), watch("o/", "x")];
  set.apply([
    { type: "put", now: objectOf("default/a", 2, "x") },
    { type: "put", now: objectOf("default/a", 3, "y") },
    { type: "delete", now: objectOf("default/a", 4, "y") },
    { type: "put", now: objectOf("o/a", 5, "x") },
  ]);
  expect(x.told.events).toEqual(["ADDED default/a 2 2", "DELETED default/a 3 3", "ADDED o/a 5 5"]);
  expect(y.told.events).toEqual(["ADDED default/a 3 3", "DELETED default/a 4 4"]);
  expect(elsewhere.told.events).toEqual(["ADDED o/a 5 5"]);
  expect([z.told.events, z.asked.times]).toEqual([[], 0]);
});

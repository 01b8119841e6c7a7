/** Credentials become a user, asked in upstream's order; a credential that is wrong is a 401. */
import type { Client } from "../../client/client.ts";
import { ApiError } from "../../lib/api-error.ts";
import { sameSecret } from "../../lib/same-secret.ts";
import type { LiveSets } from "../../live/live-set.ts";
import type { Clock } from "../../runtime/runtime.ts";
import type { Authenticate, Peer } from "../authorizer.ts";
import type { User } from "../request.ts";
import type { AnonymousSettings } from "./authentication-config.ts";
import { frontProxyUser, type RequestHeaders } from "./front-proxy.ts";
import { protocolToken } from "./token-protocol.ts";
import {
  type NoteCredential,
  type OtherTokens,
  userOfToken,
  type VerifyToken,
} from "./token-user.ts";

export interface StaticUser {
  readonly name: string;
  readonly password: string;
  readonly groups: readonly string[];
}

export interface AuthenticateOptions {
  /** Undefined when the token is not one of ours, or no longer valid. */
  readonly verifyToken: VerifyToken;
  readonly staticUsers: readonly StaticUser[];
  readonly otherTokens?: OtherTokens | undefined;
  /** By whom the use of tokens in Secrets is noted. */
  readonly client?: Client | undefined;
  /** By which headers proxies name users; K3s' own by default. */
  readonly requestHeaders?: RequestHeaders | undefined;
  /** Whether nobody in particular may ask; by default for anything. */
  readonly anonymous?: () => AnonymousSettings;
  readonly live: LiveSets;
  readonly clock: Clock;
  /** Told why a token of another issuer was refused: the client is not. */
  readonly onRefused?: (error: unknown) => void;
}

const authenticated = "system:authenticated";
const credentialId = "authentication.kubernetes.io/credential-id";

const anonymous: User = {
  name: "system:anonymous",
  uid: "",
  groups: ["system:unauthenticated"],
  extra: {},
};

/** The first credential that is right wins; only who shows none at all is anonymous. */
export function createAuthenticate(options: AuthenticateOptions): Authenticate {
  return async (headers, peer, url, note) => {
    const certified = frontProxyUser(headers, peer, options.requestHeaders) ?? certifiedUser(peer);
    if (certified !== undefined) return withGroup(certified);
    const shown = credentialOf(headers);
    if (shown !== undefined) {
      const user = await userOf(shown, options, note);
      if (user !== undefined) return withGroup(user);
    }
    const isBadPeer = peer.certificateError !== undefined || peer.frontProxy !== undefined;
    if (shown !== undefined || isBadPeer) throw new ApiError("Unauthorized", "Unauthorized");
    if (!mayBeAnonymous(options.anonymous?.(), url)) {
      throw new ApiError("Unauthorized", "Unauthorized");
    }
    return anonymous;
  };
}

function mayBeAnonymous(settings: AnonymousSettings | undefined, url: string): boolean {
  if (settings === undefined) return true;
  const { isEnabled, paths } = settings;
  return isEnabled && (paths === undefined || paths.includes(new URL(url).pathname));
}

interface Credential {
  readonly scheme: string;
  readonly text: string;
}

function credentialOf(headers: Headers): Credential | undefined {
  const [scheme = "", text = ""] = (headers.get("authorization") ?? "").trim().split(/ +/);
  if (scheme !== "") return { scheme: scheme.toLowerCase(), text };
  const token = protocolToken(headers);
  if (token === undefined) return undefined;
  return { scheme: token === "malformed" ? token : "bearer", text: token };
}

async function userOf(
  { scheme, text }: Credential,
  options: AuthenticateOptions,
  note: NoteCredential | undefined,
): Promise<User | undefined> {
  switch (scheme) {
    case "bearer": {
      const { clock, onRefused } = options;
      const context = { ...options, note, now: clock.now() };
      const found = await userOfToken(text, context).catch((error: unknown) => {
        if (error instanceof ApiError) throw error;
        onRefused?.(error);
        return undefined;
      });
      return found?.user;
    }
    case "basic":
      return userOfPassword(text, options.staticUsers);
    default:
      return undefined;
  }
}

/** Every user but the anonymous one is in `system:authenticated`. */
function withGroup(user: User): User {
  if (user.groups.includes(authenticated) || user.name === anonymous.name) return user;
  return { ...user, groups: [...user.groups, authenticated] };
}

function certifiedUser({ certificate }: Peer): User | undefined {
  if (certificate === undefined || certificate.commonName === "") return undefined;
  const { commonName, organizations, fingerprint, uids = [] } = certificate;
  const [uid = "", second] = uids;
  const isUnclear = second !== undefined || (uids.length > 0 && uid === "");
  if (isUnclear) throw new ApiError("Unauthorized", "Unauthorized");
  return {
    name: commonName,
    uid,
    groups: organizations,
    extra: { [credentialId]: [`X509SHA256=${fingerprint}`] },
  };
}

function userOfPassword(credential: string, users: readonly StaticUser[]): User | undefined {
  const [name, ...rest] = Buffer.from(credential, "base64").toString().split(":");
  const password = rest.join(":");
  const found = users.find((user) => user.name === name && sameSecret(user.password, password));
  if (found === undefined) return undefined;
  return { name: found.name, uid: "", groups: found.groups, extra: {} };
}

/** The parts of dns-packet that k3 uses; the package brings no types. */
declare module "dns-packet" {
  export interface Question {
    readonly name: string;
    readonly type: string;
    readonly class?: string;
  }
  export interface SrvData {
    readonly priority: number;
    readonly weight: number;
    readonly port: number;
    readonly target: string;
  }
  export interface SoaData {
    readonly mname: string;
    readonly rname: string;
    readonly serial: number;
    readonly refresh: number;
    readonly retry: number;
    readonly expire: number;
    readonly minimum: number;
  }
  export interface RecordHead {
    readonly name: string;
    readonly ttl?: number;
    readonly class?: string;
  }
  export type Answer =
    | (RecordHead & { readonly type: "A" | "AAAA" | "CNAME" | "PTR" | "NS"; readonly data: string })
    | (RecordHead & { readonly type: "SRV"; readonly data: SrvData })
    | (RecordHead & { readonly type: "SOA"; readonly data: SoaData })
    | (RecordHead & { readonly type: "TXT"; readonly data: string | readonly string[] })
    | (RecordHead & {
        readonly type: "MX";
        readonly data: { readonly preference: number; readonly exchange: string };
      })
    | OptAnswer;
  export interface OptAnswer {
    readonly name: ".";
    readonly type: "OPT";
    readonly udpPayloadSize: number;
    /** The upper eight bits of the code. */
    readonly extendedRcode?: number;
    readonly ednsVersion?: number;
    readonly flags: number;
    readonly options: readonly never[];
  }
  export interface Packet {
    readonly id?: number;
    readonly type?: "query" | "response";
    readonly flags?: number;
    readonly questions?: readonly Question[];
    readonly answers?: readonly Answer[];
    readonly authorities?: readonly Answer[];
    readonly additionals?: readonly Answer[];
  }
  export interface DecodedPacket extends Required<Packet> {
    readonly opcode: string;
    readonly rcode: string;
    readonly flag_tc: boolean;
  }
  export function encode(packet: Packet): Uint8Array;
  export function decode(bytes: Uint8Array): DecodedPacket;
  export const AUTHORITATIVE_ANSWER: number;
  export const TRUNCATED_RESPONSE: number;
  export const RECURSION_DESIRED: number;
  export const RECURSION_AVAILABLE: number;
}

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { ConnectionError } from "../../../../src/proxy/codec/http2/error.ts";
import { FieldKind } from "../../../../src/proxy/codec/http2/field-kind.ts";
import { FrameWriter } from "../../../../src/proxy/codec/http2/frame-writer.ts";
import { HpackDecoder } from "../../../../src/proxy/codec/http2/hpack/decoder.ts";
import { HpackEncoder } from "../../../../src/proxy/codec/http2/hpack/encoder.ts";
import { CODE_LENGTHS, decodedBytesMax, decodeHuffman } from "../../../../src/proxy/codec/http2/hpack/huffman.ts";
import { IntegerReader, writeInteger } from "../../../../src/proxy/codec/http2/hpack/integer.ts";
import { parseFrames } from "../../../support/http2-frames.ts";
import { MemoryOutput } from "../../../support/memory-output.ts";

type Field = [name: string, value: string];

function hex(text: string): Buffer {
  return Buffer.from(text.replaceAll(" ", ""), "hex");
}

function decode(decoder: HpackDecoder, block: Buffer): Field[] {
  const fields: Field[] = [];
  decoder.decode(block, 0, block.length, { field: (name, value) => void fields.push([name, value]) });
  return fields;
}

/** An encoder whose blocks can be looked at. */
function makeEncoder(): { encoder: HpackEncoder; encode: (fields: Field[]) => Buffer } {
  const output = new MemoryOutput();
  const writer = new FrameWriter(output);
  const encoder = new HpackEncoder(writer);
  const encode = (fields: Field[]): Buffer => {
    encoder.begin();
    for (const [name, value] of fields) encoder.field(name, value);
    encoder.end(1, false);
    writer.flush();
    return Buffer.concat(parseFrames(output.take()).map((frame) => frame.payload));
  };
  return { encoder, encode };
}

/** Huffman coding the slow way, from the code's definition: strings of bits. */
function huffman(text: Buffer): Buffer {
  const codes = new Map<number, string>();
  let code = 0n;
  let codeLength = 0;
  const symbols = CODE_LENGTHS.map((length, symbol) => ({ length, symbol }));
  for (const { length, symbol } of symbols.sort((a, b) => a.length - b.length || a.symbol - b.symbol)) {
    code <<= BigInt(length - codeLength);
    codeLength = length;
    codes.set(symbol, code.toString(2).padStart(length, "0"));
    code++;
  }
  const bits = Array.from(text, (byte) => codes.get(byte) ?? "").join("");
  const padded = bits.padEnd(Math.ceil(bits.length / 8) * 8, "1");
  return Buffer.from(padded.match(/.{8}/g)?.map((byte) => Number.parseInt(byte, 2)) ?? []);
}

describe("RFC 7541 Appendix C", () => {
  test.each([
    ["C.1.1", 10, 5, "0a"],
    ["C.1.2", 1337, 5, "1f9a0a"],
    ["C.1.3", 42, 8, "2a"],
  ])("%s: integer", (_section, value, prefixBits, coded) => {
    const bytes = hex(coded);
    const reader = new IntegerReader();
    expect(reader.read(bytes, 0, bytes.length, prefixBits)).toBe(value);
    expect(reader.at).toBe(bytes.length);
    const target = Buffer.alloc(8);
    const end = writeInteger(target, 0, 0, prefixBits, value);
    expect(target.toString("hex", 0, end)).toBe(coded);
  });

  test.each<[string, string, Field, number]>([
    ["C.2.1", "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572", ["custom-key", "custom-header"], 55],
    ["C.2.2", "040c 2f73 616d 706c 652f 7061 7468", [":path", "/sample/path"], 0],
    ["C.2.3", "1008 7061 7373 776f 7264 0673 6563 7265 74", ["password", "secret"], 0],
    ["C.2.4", "82", [":method", "GET"], 0],
  ])("%s: representation", (_section, coded, field, tableBytes) => {
    const decoder = new HpackDecoder();
    expect(decode(decoder, hex(coded))).toEqual([field]);
    expect(decoder.tableBytes).toBe(tableBytes);
  });

  const requests: [Field[], number][] = [
    [
      [
        [":method", "GET"],
        [":scheme", "http"],
        [":path", "/"],
        [":authority", "www.example.com"],
      ],
      57,
    ],
    [
      [
        [":method", "GET"],
        [":scheme", "http"],
        [":path", "/"],
        [":authority", "www.example.com"],
        ["cache-control", "no-cache"],
      ],
      110,
    ],
    [
      [
        [":method", "GET"],
        [":scheme", "https"],
        [":path", "/index.html"],
        [":authority", "www.example.com"],
        ["custom-key", "custom-value"],
      ],
      164,
    ],
  ];

  test.each<[string, string[]]>([
    [
      "C.3",
      [
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
      ],
    ],
    [
      "C.4",
      [
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
      ],
    ],
  ])("%s: requests", (_section, blocks) => {
    const decoder = new HpackDecoder();
    for (const [index, [fields, tableBytes]] of requests.entries()) {
      expect(decode(decoder, hex(blocks[index] ?? ""))).toEqual(fields);
      expect(decoder.tableBytes).toBe(tableBytes);
    }
  });

  const responses: [Field[], number][] = [
    [
      [
        [":status", "302"],
        ["cache-control", "private"],
        ["date", "Mon, 21 Oct 2013 20:13:21 GMT"],
        ["location", "https://www.example.com"],
      ],
      222,
    ],
    [
      [
        [":status", "307"],
        ["cache-control", "private"],
        ["date", "Mon, 21 Oct 2013 20:13:21 GMT"],
        ["location", "https://www.example.com"],
      ],
      222,
    ],
    [
      [
        [":status", "200"],
        ["cache-control", "private"],
        ["date", "Mon, 21 Oct 2013 20:13:22 GMT"],
        ["location", "https://www.example.com"],
        ["content-encoding", "gzip"],
        ["set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"],
      ],
      215,
    ],
  ];

  // The appendix sets the table to 256 bytes by SETTINGS; a size update at the beginning says the same (§4.2).
  const TABLE_256 = "3fe101";

  test.each<[string, string[]]>([
    [
      "C.5",
      [
        "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d" +
          "54 6e17 6874 7470 733a 2f2f 7777 772e 6578 616d 706c 652e 636f 6d",
        "4803 3330 37c1 c0bf",
        "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f" +
          "6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b" +
          "2076 6572 7369 6f6e 3d31",
      ],
    ],
    [
      "C.6",
      [
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7" +
          "8f0b 97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335" +
          "dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
      ],
    ],
  ])("%s: responses, with eviction", (_section, blocks) => {
    const decoder = new HpackDecoder();
    decode(decoder, hex(TABLE_256));
    for (const [index, [fields, tableBytes]] of responses.entries()) {
      expect(decode(decoder, hex(blocks[index] ?? ""))).toEqual(fields);
      expect(decoder.tableBytes).toBe(tableBytes);
    }
  });
});

describe("Huffman code", () => {
  test("the lengths make a complete prefix code", () => {
    expect(CODE_LENGTHS).toHaveLength(257);
    expect(CODE_LENGTHS.reduce((sum, length) => sum + 2 ** (30 - length), 0)).toBe(2 ** 30);
  });

  test("decodes what its definition encodes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (text) => {
        const coded = huffman(Buffer.from(text));
        const target = Buffer.alloc(decodedBytesMax(coded.length));
        const length = decodeHuffman(coded, 0, coded.length, target);
        expect(Buffer.from(target.subarray(0, length))).toEqual(Buffer.from(text));
      }),
    );
  });

  test.each([
    ["padding of eight bits", "07ff"],
    ["padding of zeros", "00"],
    ["EOS", "ffffffff"],
  ])("refuses %s", (_what, coded) => {
    const bytes = hex(coded);
    expect(decodeHuffman(bytes, 0, bytes.length, Buffer.alloc(64))).toBe(-1);
  });
});

describe("decoder", () => {
  test.each([
    ["index 0", "80"],
    ["index beyond both tables", "be"],
    ["name index beyond both tables", "7f00 0161"],
    ["truncated integer", "ff"],
    ["integer without end", "ffffffffffffffff"],
    ["integer padded with zeros", "ff8080808080808000"],
    ["truncated name", "400561"],
    ["missing value", "0001 61"],
    ["length beyond the block", "0001 617f ffff 7f61"],
    ["size update behind a field", "82 20"],
    ["size update above the limit", "3fe21f"],
    ["Huffman padding of zeros", "0001 6181 00"],
  ])("%s is a compression error", (_what, coded) => {
    expect(() => decode(new HpackDecoder(), hex(coded))).toThrow(ConnectionError);
  });

  test("every cut of a valid block is decoded or refused, never read past", () => {
    const block = hex("8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf");
    for (let end = 0; end < block.length; end++) {
      const decoder = new HpackDecoder();
      decode(decoder, hex("410f 7777 772e 6578 616d 706c 652e 636f 6d 5808 6e6f 2d63 6163 6865"));
      const exact = Buffer.from(block.subarray(0, end));
      try {
        expect(decode(decoder, exact).length).toBeLessThan(5);
      } catch (error) {
        expect(error).toBeInstanceOf(ConnectionError);
      }
    }
  });

  test.each<[string, string, string, FieldKind]>([
    ["a field", "x-a", "b", FieldKind.Regular],
    ["an empty value", "x-a", "", FieldKind.Regular],
    ["obs-text", "x-a", "\xe9", FieldKind.Regular],
    ["an upper-case name", "X-A", "b", FieldKind.Malformed],
    ["a name with a space", "x a", "b", FieldKind.Malformed],
    ["an empty name", "", "b", FieldKind.Malformed],
    ["an unknown pseudo-field", ":x", "b", FieldKind.Malformed],
    ["CR in a value", "x-a", "b\rc", FieldKind.Malformed],
    ["LF in a value", "x-a", "b\nc", FieldKind.Malformed],
    ["NUL in a value", "x-a", "b\0c", FieldKind.Malformed],
    ["a leading space", "x-a", " b", FieldKind.Malformed],
    ["a trailing tab", "x-a", "b\t", FieldKind.Malformed],
    ["LF in a path", ":path", "/\n", FieldKind.Malformed],
    ["a connection field", "connection", "close", FieldKind.ConnectionSpecific],
  ])("knows the kind of %s, literal and from the table", (_what, name, value, kind) => {
    const decoder = new HpackDecoder();
    const literal = Buffer.concat([
      Buffer.from([0x40, name.length]),
      Buffer.from(name, "latin1"),
      Buffer.from([value.length]),
      Buffer.from(value, "latin1"),
    ]);
    const kinds: FieldKind[] = [];
    const block = Buffer.concat([literal, Buffer.from([0xbe])]);
    decoder.decode(block, 0, block.length, { field: (_name, _value, found) => void kinds.push(found) });
    expect(kinds).toEqual([kind, kind]);
  });
});

describe("encoder", () => {
  test("a decoder reads what it writes, under any history of table sizes", () => {
    const field = fc.tuple(
      fc.constantFrom(":path", "x-request-id", "accept", "cookie", "authorization", "x-a", "x-b", "content-type"),
      fc.oneof(
        fc.constantFrom("/", "one", "two", "three", "x".repeat(500), "y".repeat(3000)),
        fc.string({
          unit: fc.integer({ min: 0x20, max: 0xff }).map((code) => String.fromCharCode(code)),
          maxLength: 60,
        }),
      ),
    );
    const step = fc.record({
      fields: fc.array(field, { maxLength: 12 }),
      limits: fc.array(fc.constantFrom(0, 40, 200, 1000, 4096, 65_536), { maxLength: 3 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
        const { encoder, encode } = makeEncoder();
        const decoder = new HpackDecoder();
        for (const { fields, limits } of steps) {
          for (const limit of limits) encoder.limitTable(limit);
          expect(decode(decoder, encode(fields))).toEqual(fields);
        }
      }),
      { numRuns: 200 },
    );
  });

  test("a value goes into the table on second sight, and is one byte from then on", () => {
    const { encode } = makeEncoder();
    const sizes = [1, 2, 3].map(() => encode([["user-agent", "curl/8.5.0"]]).length);
    expect(sizes).toEqual([13, 12, 1]);
  });

  test("of what never repeats only the name enters the table, and once", () => {
    const { encode } = makeEncoder();
    const decoder = new HpackDecoder();
    for (let i = 100; i < 200; i++) {
      const block = encode([
        ["x-request-id", `id-${i}`],
        [":path", `/${i}`],
      ]);
      decode(decoder, block);
      if (i > 101) expect(block.length).toBe(2 + 1 + 6 + 1 + 1 + 4);
    }
    expect(decoder.tableBytes).toBe("x-request-id".length + "id-101".length + 32);
  });

  test.each<[string, string, boolean]>([
    ["authorization", `Bearer ${"t".repeat(100)}`, true],
    ["proxy-authorization", "Basic abc", true],
    ["set-cookie", "id=1; HttpOnly", true],
    ["cookie", "id=1", true],
    ["cookie", `session=${"s".repeat(40)}`, false],
    ["user-agent", "a", false],
  ])("%s: never indexed while it is a secret that could be guessed", (name, value, never) => {
    const { encode } = makeEncoder();
    encode([[name, value]]);
    const [first = 0] = encode([[name, value]]);
    expect((first & 0xf0) === 0x10).toBe(never);
  });

  test("announces a smaller table before it uses it, and the smallest in between", () => {
    const { encoder, encode } = makeEncoder();
    encoder.limitTable(100);
    encoder.limitTable(0);
    encoder.limitTable(200);
    expect(encode([[":method", "GET"]]).toString("hex")).toBe("203fa90182");
    expect(encode([[":method", "GET"]]).toString("hex")).toBe("82");
  });

  test("memory for names stays bounded, and what repeats is still found", () => {
    const { encode } = makeEncoder();
    const decoder = new HpackDecoder();
    for (let i = 0; i < 2000; i++) {
      const fields: Field[] = [
        [`x-random-${i}`, "v"],
        ["x-steady", "s"],
      ];
      expect(decode(decoder, encode(fields))).toEqual(fields);
    }
    expect(encode([["x-steady", "s"]])).toHaveLength(1);
  });
});

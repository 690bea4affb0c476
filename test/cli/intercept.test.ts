/** `heddle intercept` against the kernel's own tables, in a network namespace of its own. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { fileURLToPath } from "node:url";
import { type Host, Network, type RunAs, whyNoNamespaces } from "../support/namespaces.ts";
import { CommandLine, type Outcome } from "./cli-mesh.ts";

const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
const reason = whyNoNamespaces();

describe("what was typed", () => {
  test.each([
    [[], "--user is missing"],
    [["--user", "0"], "root is everybody's"],
    [["--user", "7", "--inbound-port", "0"], "--inbound-port: '0' is no port"],
    [["--user", "7", "--exclude-ports", "22,http"], "--exclude-ports: 'http' is no port"],
    [["--user", "7", "--exclude-cidrs", "10.0.0.0/33"], "--exclude-cidrs: '10.0.0.0/33' is no network"],
  ])("%j is refused", async (args, complaint) => {
    const { code, stderr } = await new CommandLine("/nowhere").heddle(["intercept", ...args]);
    expect(code).toBe(2);
    expect(stderr).toContain(complaint);
  });

  test("a user who does not exist is named, with what to do", async () => {
    const { code, stderr } = await new CommandLine("/nowhere").heddle(["intercept", "--user", "no-such-user"]);
    expect(code).toBe(1);
    expect(stderr).toContain("useradd --system no-such-user");
  });
});

describe.skipIf(reason !== undefined)(`the tables${reason === undefined ? "" : ` (skipped: ${reason})`}`, () => {
  let network: Network;
  let host: Host;

  beforeAll(async () => {
    const created = await Network.create(["tables"]);
    network = created.network;
    host = created.hosts.tables;
    // Rules of others, so that there is something to leave alone.
    for (const [program, source] of [
      ["iptables", "10.1.0.0/24"],
      ["ip6tables", "fd01::/64"],
    ] as const) {
      await host.run([program, "-t", "nat", "-N", "OTHERS"]);
      await host.run([program, "-t", "nat", "-A", "OUTPUT", "-p", "tcp", "--dport", "99", "-j", "OTHERS"]);
      await host.run([program, "-t", "nat", "-A", "POSTROUTING", "-s", source, "-j", "MASQUERADE"]);
    }
  });
  afterAll(() => network.destroy());

  async function heddle(args: readonly string[], as?: RunAs): Promise<Outcome> {
    const child = host.start([process.execPath, MAIN, "intercept", ...args], as);
    const [stdout, stderr, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    return { stdout, stderr, code };
  }

  /** Everything but the comments, which say when it was written. */
  async function saved(): Promise<string> {
    const both = `${await host.run(["iptables-save"])}${await host.run(["ip6tables-save"])}`;
    return both.replace(/^#.*\n/gm, "");
  }

  test("a second installation replaces the first, and removal leaves what was there before, to the byte", async () => {
    const before = await saved();
    expect(await heddle(["--user", "1337"])).toMatchObject({ code: 0 });
    const once = await saved();
    expect(await heddle(["--user", "1337"])).toMatchObject({ code: 0 });
    expect(await saved()).toBe(once);
    expect(once.match(/-j HEDDLE_/g)).toHaveLength(4);

    expect(await heddle(["--user", "1338", "--include-inbound-ports", "8080"])).toMatchObject({ code: 0 });
    const other = await saved();
    expect(other).toContain("--uid-owner 1338");
    expect(other).not.toContain("--uid-owner 1337");
    expect(other).toContain("--dport 8080 -j REDIRECT --to-ports 15006");
    expect(other.match(/-j HEDDLE_/g)).toHaveLength(4);

    expect(await heddle(["--remove"])).toMatchObject({ code: 0 });
    expect(await saved()).toBe(before);
    expect(await heddle(["--remove"])).toMatchObject({ code: 0, stderr: "heddle: there were no rules\n" });
    expect(await saved()).toBe(before);
  }, 20_000);

  test("chains that another version left go as well", async () => {
    const before = await saved();
    await host.run(["iptables", "-t", "nat", "-N", "HEDDLE_OLD"]);
    await host.run(["iptables", "-t", "nat", "-A", "OUTPUT", "-j", "HEDDLE_OLD"]);
    expect(await heddle(["--user", "1337"])).toMatchObject({ code: 0 });
    expect(await saved()).not.toContain("HEDDLE_OLD");
    expect(await heddle(["--remove"])).toMatchObject({ code: 0 });
    expect(await saved()).toBe(before);
  }, 20_000);

  test("a rule that the kernel refuses leaves the tables as they were", async () => {
    const before = await saved();
    // Fits our own check, but no user has that number.
    const { code, stderr } = await heddle(["--user", "9999999999"]);
    expect(code).toBe(1);
    expect(stderr).toContain("iptables-restore failed");
    expect(await saved()).toBe(before);
  });

  test("where IPv6 is switched off, its tables are not asked for", async () => {
    const switchIpv6 = (off: 0 | 1) => host.run(["sh", "-c", `echo ${off} > /proc/sys/net/ipv6/conf/all/disable_ipv6`]);
    await switchIpv6(1);
    const { stdout } = await heddle(["--user", "1337", "--dry-run"]);
    await switchIpv6(0);
    expect(stdout.match(/^\*nat$/gm)).toHaveLength(1);
  });

  test("a dry run tells what would be done, and does nothing", async () => {
    const before = await saved();
    const { code, stdout } = await heddle(["--user", "1337", "--dry-run"], { user: 31_338 });
    expect(code).toBe(0);
    expect(stdout.match(/^\*nat$/gm)).toHaveLength(2);
    expect(await saved()).toBe(before);
  });

  test("who may not change the tables is told what is missing", async () => {
    for (const args of [["--user", "1337"], ["--remove"]]) {
      const { code, stderr } = await heddle(args, { user: 31_338 });
      expect(code).toBe(1);
      expect(stderr).toContain("needs CAP_NET_ADMIN: run as root");
    }
  });

  test("where there is no iptables, it is told how to get it", async () => {
    // A namespace of mounts in which nothing is where administration's programs are.
    const hide =
      "for d in $(printf '%s' \"$PATH\" | tr : ' ') /usr/sbin /sbin; do [ -e $d/iptables-save ] && mount -t tmpfs none $d; done";
    const run = `${hide}; exec ${process.execPath} ${MAIN} intercept --user 1337`;
    const child = host.start(["unshare", "--mount", "sh", "-c", run]);
    const [stderr, code] = await Promise.all([child.stderr.text(), child.exited]);
    expect(code).toBe(1);
    expect(stderr).toContain("apt-get install iptables");
  });
});

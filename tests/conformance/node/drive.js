// Drives all that the public Node client offers, against the server at argv[2], with traffic through
// the proxies. Prints one line for each thing that held, and ends with 1 at the first that does not.
"use strict";

const assert = require("assert");
const net = require("net");
const { Toxiproxy, Proxy, Toxic } = require("toxiproxy-node-client");

const toxiproxy = new Toxiproxy(process.argv[2]);
let upstream, upstreamPort;

// Answers each connection with what it gets, and half-closes after it.
function startEcho() {
    return new Promise((resolve) => {
        upstream = net.createServer({ allowHalfOpen: true }, (socket) => {
            socket.on("error", () => {});
            socket.pipe(socket);
        });
        upstream.listen(0, "127.0.0.1", () => {
            upstreamPort = upstream.address().port;
            resolve();
        });
    });
}

// Sends the bytes, half-closes, and resolves to what came back until the end, and how long it took.
function exchange(proxy, bytes) {
    return new Promise((resolve) => {
        const begin = process.hrtime.bigint();
        const answer = { bytes: 0, chunks: 0, error: null };
        const socket = net.connect(port(proxy), "127.0.0.1");
        socket.on("connect", () => socket.end(bytes));
        socket.on("data", (data) => {
            answer.bytes += data.length;
            answer.chunks += 1;
        });
        socket.on("error", (error) => {
            answer.error = error.code;
        });
        socket.on("close", () => {
            answer.ms = Number(process.hrtime.bigint() - begin) / 1e6;
            resolve(answer);
        });
    });
}

// A connection that stays, and what happens to it.
function open(proxy) {
    return new Promise((resolve, reject) => {
        const socket = net.connect(port(proxy), "127.0.0.1");
        const ended = new Promise((done) => {
            let code = null;
            socket.on("error", (error) => {
                code = error.code;
            });
            socket.on("close", () => done(code));
            socket.once("error", reject);
        });
        socket.on("connect", () => resolve({ socket, ended }));
        socket.resume();
    });
}

function port(proxy) {
    return Number(proxy.listen.split(":").pop());
}

async function refusal(promise, status) {
    try {
        await promise;
    } catch (error) {
        assert.strictEqual(error.message, `Request failed with status code ${status}`);
        return;
    }
    assert.fail(`status ${status} was wanted`);
}

function create(name, extra) {
    return toxiproxy.createProxy({
        name,
        listen: "localhost:0",
        upstream: `127.0.0.1:${upstreamPort}`,
        ...extra,
    });
}

async function withToxic(proxy, body, use) {
    const toxic = await proxy.addToxic(body);
    assert.ok(toxic instanceof Toxic);
    await use(toxic);
    await toxic.remove();
}

const steps = {
    async "version"() {
        const response = await toxiproxy.getVersion();
        assert.deepStrictEqual(response.data, { version: "2.12.0" });
    },

    async "a proxy is created, read, listed, changed and removed"() {
        const proxy = await create("life");
        assert.ok(proxy instanceof Proxy);
        assert.strictEqual(proxy.enabled, true);
        assert.match(proxy.listen, /^127\.0\.0\.1:[1-9]\d*$/);
        assert.deepStrictEqual((await toxiproxy.get("life")).toJson(), proxy.toJson());
        assert.deepStrictEqual(Object.keys(await toxiproxy.getAll()), ["life"]);
        assert.strictEqual((await exchange(proxy, "hello")).bytes, 5);

        const off = await proxy.update({ enabled: false, listen: proxy.listen, upstream: proxy.upstream });
        assert.strictEqual(off.enabled, false);
        assert.strictEqual((await exchange(proxy, "hello")).error, "ECONNREFUSED");
        const on = await off.update({ enabled: true });
        assert.strictEqual(on.listen, proxy.listen);
        assert.strictEqual((await exchange(on, "hello")).bytes, 5);

        const moved = await on.update({ upstream: "some-host.example:12345" });
        assert.strictEqual(moved.upstream, "some-host.example:12345");
        await refusal(create("life"), 409);
        await refusal(toxiproxy.get("nobody"), 404);
        await proxy.remove();
        await refusal(toxiproxy.get("life"), 404);
        await refusal(proxy.remove(), 404);
    },

    async "disabling ends what is open"() {
        const proxy = await create("open");
        const connection = await open(proxy);
        await proxy.update({ enabled: false });
        await connection.ended;
        await proxy.remove();
    },

    async "populate creates, keeps and replaces"() {
        const items = ["one", "two"].map((name) => ({
            name,
            listen: "localhost:0",
            upstream: `127.0.0.1:${upstreamPort}`,
        }));
        const proxies = await toxiproxy.populate(items);
        assert.deepStrictEqual(Object.keys(proxies), ["one", "two"]);
        assert.strictEqual((await exchange(proxies.two, "x")).bytes, 1);
        const again = await toxiproxy.populate([{ ...items[0], listen: proxies.one.listen }]);
        assert.strictEqual(again.one.listen, proxies.one.listen);
        await refusal(toxiproxy.populate([{ name: "three" }]), 400);
        for (const name in await toxiproxy.getAll()) await (await toxiproxy.get(name)).remove();
        assert.deepStrictEqual(await toxiproxy.getAll(), {});
    },

    async "a toxic is created, read, changed and removed"() {
        const proxy = await create("toxic");
        const toxic = await proxy.addToxic({ type: "latency", attributes: { latency: 1000, jitter: 100 } });
        assert.deepStrictEqual(toxic.toJson(), {
            attributes: { latency: 1000, jitter: 100 },
            name: "latency_downstream",
            stream: "downstream",
            toxicity: 1,
            type: "latency",
        });
        assert.deepStrictEqual((await proxy.getToxic(toxic.name)).toJson(), toxic.toJson());
        const changed = await toxic.update({ attributes: { latency: 12345, jitter: 42 }, toxicity: 0.5 });
        assert.deepStrictEqual(changed.attributes, { latency: 12345, jitter: 42 });
        assert.strictEqual(changed.toxicity, 0.5);
        await refusal(proxy.addToxic({ type: "latency", attributes: {} }), 409);
        await refusal(proxy.addToxic({ type: "nothing", attributes: {} }), 400);
        await refusal(proxy.addToxic({ type: "latency", stream: "sideways", attributes: {} }), 400);
        await toxic.remove();
        await refusal(proxy.getToxic(toxic.name), 404);
        await proxy.remove();
    },

    async "latency delays both streams"() {
        const proxy = await create("latency");
        await withToxic(proxy, { type: "latency", attributes: { latency: 100, jitter: 0 } }, async () => {
            await withToxic(
                proxy,
                { type: "latency", stream: "upstream", attributes: { latency: 100, jitter: 0 } },
                async () => {
                    const answer = await exchange(proxy, "ping");
                    assert.strictEqual(answer.bytes, 4);
                    assert.ok(answer.ms >= 200, `${answer.ms} ms`);
                },
            );
        });
        let fastest = Infinity; // of some, on a busy machine
        for (let i = 0; i < 20 && fastest >= 200; i++) fastest = Math.min(fastest, (await exchange(proxy, "ping")).ms);
        assert.ok(fastest < 200, `${fastest} ms`);
        await proxy.remove();
    },

    async "bandwidth limits, and its removal lets the rest go"() {
        const proxy = await create("bandwidth");
        await withToxic(proxy, { type: "bandwidth", attributes: { rate: 100 } }, async () => {
            const answer = await exchange(proxy, Buffer.alloc(30000));
            assert.strictEqual(answer.bytes, 30000);
            assert.ok(answer.ms >= 250, `${answer.ms} ms`);
        });
        const toxic = await proxy.addToxic({ type: "bandwidth", attributes: { rate: 0 } });
        const waiting = exchange(proxy, Buffer.alloc(1000));
        await toxiproxy.getAll();
        await toxic.remove();
        assert.strictEqual((await waiting).bytes, 1000);
        await proxy.remove();
    },

    async "slow_close holds the end"() {
        const proxy = await create("slow-close");
        await withToxic(proxy, { type: "slow_close", attributes: { delay: 200 } }, async () => {
            const answer = await exchange(proxy, "x");
            assert.strictEqual(answer.bytes, 1);
            assert.ok(answer.ms >= 200, `${answer.ms} ms`);
        });
        await proxy.remove();
    },

    async "timeout swallows all and closes"() {
        const proxy = await create("timeout");
        await withToxic(proxy, { type: "timeout", attributes: { timeout: 100 } }, async () => {
            assert.strictEqual((await exchange(proxy, "x")).bytes, 0);
        });
        const toxic = await proxy.addToxic({ type: "timeout", stream: "upstream", attributes: { timeout: 0 } });
        const connection = await open(proxy);
        connection.socket.write("x");
        await toxic.remove(); // which closes what it was on
        await connection.ended;
        assert.strictEqual((await exchange(proxy, "x")).bytes, 1);
        await proxy.remove();
    },

    async "slicer cuts, and nothing is lost"() {
        const proxy = await create("slicer");
        await withToxic(
            proxy,
            { type: "slicer", attributes: { average_size: 100, size_variation: 10, delay: 1000 } },
            async () => {
                const answer = await exchange(proxy, Buffer.alloc(2000));
                assert.strictEqual(answer.bytes, 2000);
                assert.ok(answer.chunks >= 5, `${answer.chunks} chunks`);
            },
        );
        await proxy.remove();
    },

    async "limit_data closes after so many bytes"() {
        const proxy = await create("limit");
        await withToxic(proxy, { type: "limit_data", attributes: { bytes: 10 } }, async () => {
            assert.strictEqual((await exchange(proxy, Buffer.alloc(1000))).bytes, 10);
        });
        await proxy.remove();
    },

    async "reset_peer resets new connections and old"() {
        const proxy = await create("reset");
        const idle = await open(proxy);
        await withToxic(proxy, { type: "reset_peer", attributes: { timeout: 0 } }, async () => {
            assert.strictEqual(await idle.ended, "ECONNRESET");
            const answer = await exchange(proxy, "x");
            assert.strictEqual(answer.error, "ECONNRESET");
        });
        await proxy.remove();
    },

    async "reset enables all and removes every toxic"() {
        const proxy = await create("again");
        await proxy.addToxic({ type: "timeout", attributes: { timeout: 0 } });
        await proxy.update({ enabled: false });
        await toxiproxy.reset();
        const back = await toxiproxy.get("again");
        assert.strictEqual(back.enabled, true);
        assert.strictEqual(back.listen, proxy.listen);
        await refusal(proxy.getToxic("timeout_downstream"), 404);
        assert.strictEqual((await exchange(back, "x")).bytes, 1);
        await back.remove();
    },
};

async function main() {
    await startEcho();
    for (const name in steps) {
        try {
            await steps[name]();
        } catch (error) {
            console.log(`FAILED ${name}: ${error.stack || error.message}`);
            process.exit(1);
        }
        console.log(`held ${name}`);
    }
    upstream.close();
    console.log("all held");
    process.exit(0);
}

main();

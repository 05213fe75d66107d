/** The page, as a browser shows it that is not ours. */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';
import { chromium, type Browser, type Page } from 'playwright-core';
import t, { type Test } from 'tap';
import { createImage } from '../../../streams/image/create-image.js';
import { convertImage } from '../../../streams/convert/convert-image.js';
import { reportImages } from '../../../streams/report/report-images.js';
import { openImageSource, openImageTarget } from '../../../streams/transport/open-transport.js';
import { layoutOf } from '../../support/images/oci-layout.js';
import { temporaryDirectory } from '../../support/process/fs.js';
import { tarOf } from '../../support/tar/tar.js';

const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');

const browserPath = (): string | undefined => {
  for (const name of ['chromium', 'chromium-browser', 'google-chrome']) {
    try {
      return execFileSync('which', [name], { encoding: 'utf8' }).trim();
    } catch {
      // the next one
    }
  }
  return undefined;
};

const BROWSER = browserPath();
const skip = BROWSER === undefined && 'chromium is not installed';

const launch = async (t: Test): Promise<Browser> => {
  const browser = await chromium.launch({
    executablePath: BROWSER!,
    // as root there is no sandbox, and the page is ours
    args: ['--no-sandbox', '--disable-gpu'],
  });
  t.teardown(() => browser.close());
  return browser;
};

/** Opens a page; whatever it complains of is in `complaints`. */
const open = async (browser: Browser, file: string) => {
  const context = await browser.newContext({ offline: true });
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on('console', message => complaints.push(message.text()));
  page.on('pageerror', error => complaints.push(error.message));
  page.on('request', request => {
    if (!/^(file|data):/.test(request.url())) complaints.push(request.url());
  });
  await page.goto(pathToFileURL(file).href);
  await page.waitForSelector('.tile');
  return { page, complaints };
};

const violations = async (page: Page): Promise<string[]> => {
  // by the debugger, since the page's own policy lets nothing else in
  const found: unknown = await page.evaluate(
    `${fs.readFileSync(AXE, 'utf8')}; axe.run().then(({ violations }) => violations.map(({ id, nodes }) => id + ' ' + nodes[0].html))`,
  );
  return found as string[];
};

/** Two versions of a tree, and their images. */
const versions = async (t: Test) => {
  const folder = temporaryDirectory(t);
  const at = (name: string): string => path.join(folder, name);
  for (const version of ['one', 'two']) {
    const to = (name: string): string => at(`${version}/${name}`);
    fs.mkdirSync(to('usr/lib/deep'), { recursive: true });
    fs.mkdirSync(to('etc'));
    fs.writeFileSync(to('usr/lib/libbig.so'), Buffer.alloc(300_000, version));
    fs.writeFileSync(to('usr/lib/deep/needle.txt'), 'x'.repeat(70_000));
    fs.writeFileSync(to('etc/<img src=x onerror=alert(1)>.conf'), 'c'.repeat(40_000));
    for (let i = 0; i < 300; i++) fs.writeFileSync(to(`usr/lib/deep/f${i}.c`), `${i}`.repeat(50));
    await createImage({
      source: to('.'),
      type: 'dir-rafs',
      bootstrap: at(`${version}.boot`),
      blobDir: folder,
    });
  }
  return { at };
};

t.test('it opens from disk without network, zooms, finds, and is accessible', { skip }, async t => {
  const { at } = await versions(t);
  const { page: html } = await reportImages({ images: [at('one.boot'), at('two.boot')] });
  fs.writeFileSync(at('report.html'), html);
  const browser = await launch(t);
  const { page, complaints } = await open(browser, at('report.html'));
  t.match(await page.textContent('h1'), 'Images');
  t.equal(await page.locator('#pulls tbody tr').count(), 2);

  await page.fill('#search', 'needle');
  const result = page.locator('.results button');
  await result.waitFor();
  t.equal(await result.textContent(), '/usr/lib/deep/needle.txt');
  await result.click();
  t.match(await page.textContent('.crumbs [aria-current]'), 'deep');
  t.match(await page.locator('.tile.found').getAttribute('aria-label'), 'needle.txt');

  // by the keyboard alone
  await page.locator('.tile[tabindex="0"]').focus();
  await page.keyboard.press('Backspace');
  t.match(await page.textContent('.crumbs [aria-current]'), 'lib');
  await page.keyboard.press('ArrowRight');
  t.equal(await page.locator('.tile:focus').count(), 1);
  await page.keyboard.press('Home');
  await page.keyboard.press('Backspace');
  await page.keyboard.press('Backspace');
  await page.keyboard.press('Home');
  await page.keyboard.press('Enter');
  t.equal(await page.textContent('.crumbs [aria-current]'), 'usr');

  await page.check('input[value="stored"]');
  await page.selectOption('#image', '1');
  await page.waitForSelector('.tile');
  t.match(await page.textContent('#duplicates'), 'No two files');
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme });
    t.strictSame(await violations(page), []);
  }
  t.strictSame(complaints, []);
});

t.test('a whole image beside the one that it was made of', async t => {
  const folder = temporaryDirectory(t);
  const at = (name: string): string => path.join(folder, name);
  const tars = ['base', 'upper'].map(name =>
    tarOf([{ name, content: Buffer.alloc(9000, name), mode: 0o644 }]),
  );
  layoutOf(at('plain'), { layers: tars.map(tar => ({ tar })) });
  const sizes = tars.map(tar => gzipSync(tar).length);
  const source = await openImageSource(`oci:${at('plain')}`);
  for (const mode of ['native', 'zran'] as const) {
    const target = await openImageTarget(`oci:${at(mode)}:t`);
    await convertImage({ source, target, mode });
    await target.close();
    const known = mode === 'native' ? { source: `oci:${at('plain')}` } : {};
    const { report, page } = await reportImages({ images: [at(mode)], ...known });
    const [image] = report.images;
    t.equal(image!.mode, mode);
    t.equal(image!.all.files, 2);
    t.strictSame(
      image!.blobs.map(({ layer }) => layer),
      sizes,
    );
    t.match(page, '</html>');
  }
  await t.rejects(reportImages({ images: [`oci:${at('plain')}`] }), {
    code: 'UNSUPPORTED',
    message: 'this is not a Nydus image: convert it first',
  });
  await source.close();
});

t.test('what is no image', async t => {
  const folder = temporaryDirectory(t);
  fs.writeFileSync(path.join(folder, 'text'), 'no image');
  await t.rejects(reportImages({ images: [path.join(folder, 'text')] }), { code: 'CORRUPT' });
  await t.rejects(reportImages({ images: ['a', 'b'], source: 'oci:c' }), { code: 'USAGE' });
});

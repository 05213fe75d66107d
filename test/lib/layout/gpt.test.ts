import t from 'tap';
import { BASIC_DATA, GptEntry, GptHeader, SECTOR_SIZE } from '../../../lib/layout/gpt.js';

t.test('records lie as in the specification', async t => {
  t.equal(SECTOR_SIZE, 512);
  t.strictSame(GptHeader.offsets, {
    signature: 0,
    revision: 8,
    headerSize: 12,
    headerChecksum: 16,
    reserved: 20,
    thisSector: 24,
    otherSector: 32,
    firstUsableSector: 40,
    lastUsableSector: 48,
    diskGuid: 56,
    entriesSector: 72,
    entryCount: 80,
    entrySize: 84,
    entriesChecksum: 88,
  });
  t.strictSame(GptEntry.offsets, {
    ...{ type: 0, guid: 16, firstSector: 32, lastSector: 40, attributes: 48, name: 56 },
  });
  t.strictSame([GptHeader.size, GptEntry.size], [92, 128]);
  t.match(BASIC_DATA, /^[0-9a-f]{32}$/);
});

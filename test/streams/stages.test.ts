import t from 'tap';
import * as face from '../../streams/index.js';
import * as stages from '../../streams/stages.js';

t.test('the entries for images and for stages have what they say', async t => {
  t.type(face.rafs, 'function');
  t.type(face.createImage, 'function');
  t.type(face.convertImage, 'function');
  t.type(stages.Stage, 'function');
  t.type(stages.tarDemux, 'function');
  for (const [name, value] of [...Object.entries(face), ...Object.entries(stages)]) {
    t.ok(value !== undefined, name);
  }
});

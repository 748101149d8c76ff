CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO alembic_version VALUES ('0001');
CREATE TABLE schedules (
	number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	id VARCHAR(32) NOT NULL, 
	spec TEXT NOT NULL, 
	torch_version VARCHAR(32) NOT NULL, 
	label TEXT, 
	UNIQUE (id)
);
INSERT INTO schedules VALUES (1, '71de7b50071bd5ae4074ca5767b64f12', '{"target_lr":0.01,"total_iterations":20,"warmup":{"iterations":10,"shape":"linear","convention":"n/W","decay_clock":"after_warmup"},"after_scheduler":{"type":"CosineAnnealingLR","T_max":10,"eta_min":0.0}}', '2.13.0', NULL);
INSERT INTO schedules VALUES (2, 'adef8c8a53bb76c325ddacc5c531851b', '{"target_lr":0.01,"total_iterations":20,"warmup":{"iterations":10,"shape":"linear","convention":"n/W","decay_clock":"after_warmup"},"after_scheduler":{"type":"CosineAnnealingLR","T_max":10,"eta_min":0.0},"label":"é 日本 ''quoted'' \"twice\" \\ %_ ; --\nline"}', '2.13.0', CAST(X'c3a920e697a5e69cac202771756f746564272022747769636522205c20255f203b202d2d0a6c696e65' AS TEXT));
INSERT INTO schedules VALUES (3, 'c78f4e2bf6ceb725da1aeaaab371de39', '{"target_lr":0.01,"total_iterations":20,"warmup":{"iterations":10,"shape":"linear","convention":"n/W","decay_clock":"after_warmup"},"label":"a\u0000b"}', '2.13.0', CAST(X'610062' AS TEXT));
INSERT INTO schedules VALUES (4, '7df2f87e7ff356242570d8152891de25', CAST(X'7b227461726765745f6c72223a302e30312c22746f74616c5f697465726174696f6e73223a32302c227761726d7570223a7b22697465726174696f6e73223a31302c227368617065223a226c696e656172222c22636f6e76656e74696f6e223a226e2f57222c2264656361795f636c6f636b223a2261667465725f7761726d7570227d2c226c6162656c223a22f09f9880e2808de280ae227d' AS TEXT), '2.13.0', CAST(X'f09f9880e2808de280ae' AS TEXT));
INSERT INTO schedules VALUES (5, 'd04c2c0bbd9ab24dd6b8a65f430d6da0', '{"target_lr":0.1,"total_iterations":12,"warmup":{"iterations":0,"shape":"linear","convention":"n/W","decay_clock":"after_warmup"},"after_scheduler":{"type":"StepLR","step_size":4,"gamma":0.1}}', '2.13.0', NULL);
INSERT INTO schedules VALUES (6, '9813715ec60402a0a5980ec5ea72787e', '{"target_lr":0.0003,"total_iterations":30,"warmup":{"iterations":0,"shape":"linear","convention":"n/W","decay_clock":"after_warmup"},"after_scheduler":{"type":"SWALR","swa_lr":0.00001,"anneal_epochs":10,"anneal_strategy":"cos"}}', '2.13.0', NULL);
INSERT INTO schedules VALUES (7, '62a8422b7ef92a497e036ae9cfa61678', '{"target_lr":0.1,"total_iterations":10,"warmup":{"iterations":0,"shape":"linear","convention":"n/W","decay_clock":"after_warmup"},"param_groups":[{"name":"a","target_lr":0.1},{"name":"b","target_lr":0.01}]}', '2.13.0', NULL);
INSERT INTO schedules VALUES (8, 'b82a252311f23bbd64438933ae5ab20d', '{"target_lr":0.5,"total_iterations":11,"', '2.13.0', 'damaged');
CREATE INDEX schedules_by_label ON schedules (label, number);

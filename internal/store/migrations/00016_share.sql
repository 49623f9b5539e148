-- +goose Up
-- Who may use and delete an environment beside its owner: nobody, team or tenant; '' for what a pool keeps. What is older is
-- shared with its team. Where there is no organisation file everybody is of team default, which nobody chose: that is shared
-- with nobody.
ALTER TABLE environments ADD COLUMN share TEXT NOT NULL DEFAULT 'team';
UPDATE environments SET share = CASE WHEN tenant = '' THEN '' ELSE 'nobody' END, revision = revision + 1
    WHERE tenant = '' OR (tenant = 'default' AND team = 'default');

-- +goose Down
ALTER TABLE environments DROP COLUMN share;

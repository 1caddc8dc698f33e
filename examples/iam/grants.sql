-- Run once in the database by a role that may create roles. On RDS and Aurora `rds_iam` is there already.

-- What the function may do, and no more. It has no password, and cannot be given one by mistake: RDS takes only IAM's
-- word for members of rds_iam.
create role orders_api login;
grant rds_iam to orders_api;
grant usage on schema public to orders_api;
grant select, insert on orders to orders_api;

create role orders_batch login;
grant rds_iam to orders_batch;
grant usage on schema public to orders_batch;
grant select on orders to orders_batch;

-- To take it back: no new server is opened from now on, and those there are end within iam_max_age.
-- revoke rds_iam from orders_api;

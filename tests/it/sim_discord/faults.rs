//! Faults over real sockets: whom they meet, whom they leave alone, and when they are over.

use super::*;

/// The kinds of the events that the log has of a fault, in order.
async fn course(rest: &Rest, fault: &str) -> Vec<String> {
    let log = rest.log().await;
    let of_fault = log.iter().filter(|event| event["fault"] == fault);
    of_fault.map(|event| text_of(&event["kind"])).collect()
}

/// A simulator with one node, `a`.
async fn sim_with_a_node(guilds: usize) -> Sim {
    let nodes = vec!["a".to_owned()];
    let options = Options {
        guilds,
        nodes,
        ..Options::default()
    };
    start(options).await.unwrap()
}

#[tokio::test]
async fn a_login_that_a_fault_meets_costs_what_every_login_costs() {
    let sim = sim(1).await;
    let rest = Rest::new(&sim);
    rest.fault(json!({"kind": "withhold", "what": "ready"})).await;
    let mut silent = Socket::open(&sim).await;
    silent.send(&identify(&sim.ready.token)).await;
    silent.send(&json!({"op": 1, "d": null})).await;
    assert_eq!(silent.next().await["op"], 11, "nothing but the heartbeat is answered");
    rest.fault(json!({"kind": "drop_gateway", "shard": 0, "for_ms": 60_000}))
        .await;
    let mut cut = Socket::open(&sim).await;
    cut.send(&identify(&sim.ready.token)).await;
    assert_eq!(cut.close_code().await, None);
    assert_eq!(rest.look("/counters").await["identify"], 2);
    let (_, gateway) = rest.api(Method::GET, "/gateway/bot", None).await;
    assert_eq!(gateway["session_start_limit"]["remaining"], 998);
    let log = rest.log().await;
    let outcomes = log.iter().filter(|event| event["kind"] == "identify");
    let outcomes: Vec<&Value> = outcomes.map(|event| &event["outcome"]).collect();
    assert_eq!(outcomes, ["silence", "cut"]);
    assert_eq!(rest.look("/violations").await[0]["rule"], "identify_window");
}

#[tokio::test]
async fn where_every_resume_is_cut_an_identify_is_let_in() {
    let sim = sim(1).await;
    let rest = Rest::new(&sim);
    let mut socket = Socket::open(&sim).await;
    let session = socket.identify(&sim).await["d"]["session_id"].clone();
    let fault = json!({"kind": "drop_gateway", "shard": 0, "only": "resume", "for_ms": 60_000});
    rest.fault(fault).await;
    assert_eq!(socket.close_code().await, None, "what is open is cut at the beginning");
    for _ in 0..2 {
        let mut again = Socket::open(&sim).await;
        again.send(&resume(&sim, &session, 2)).await;
        assert_eq!(again.close_code().await, None);
    }
    // A login of the same key must be five seconds away.
    let mut fresh = Socket::open(&sim).await;
    let ready = loop {
        fresh.send(&identify(&sim.ready.token)).await;
        let answer = fresh.next().await;
        if answer["op"] != 9 {
            break answer;
        }
    };
    assert_eq!((&ready["t"], &ready["s"]), (&json!("READY"), &json!(1)));
}

#[tokio::test]
async fn what_happens_at_once_is_over_at_once_and_what_lasts_when_it_is_ended() {
    let sim = sim_with_a_node(1).await;
    let rest = Rest::new(&sim);
    for body in [
        json!({"kind": "drop_gateway", "shard": 0}),
        json!({"kind": "malformed", "node": "a"}),
        json!({"kind": "expire_resume", "node": "a", "for_ms": 60_000}),
        json!({"kind": "drop_node_socket", "node": "a"}),
        json!({"kind": "restart_node", "node": "a"}),
    ] {
        let id = rest.fault(body.clone()).await;
        assert_eq!(course(&rest, &id).await, ["fault_begin", "fault_end"], "{body}");
        // It is no mistake to end what is over.
        rest.end_fault(&id).await;
        assert_eq!(course(&rest, &id).await.len(), 2, "{body}");
    }
    for body in [
        json!({"kind": "hang_rest", "node": "a"}),
        json!({"kind": "keep_oldest", "shard": 0}),
        json!({"kind": "malformed", "node": "a", "every_ms": 60_000}),
    ] {
        let id = rest.fault(body.clone()).await;
        assert_eq!(course(&rest, &id).await, ["fault_begin"], "{body}");
        rest.end_fault(&id).await;
        assert_eq!(course(&rest, &id).await, ["fault_begin", "fault_end"], "{body}");
    }
    assert_eq!(rest.control(Method::DELETE, "/faults/99", Value::Null).await.0, 404);
}

#[tokio::test]
async fn what_happens_to_a_node_is_repeated_until_its_fault_ends() {
    let sim = sim_with_a_node(0).await;
    let rest = Rest::new(&sim);
    let mut socket = Socket::to_node(&sim).await;
    let often = rest
        .fault(json!({"kind": "malformed", "node": "a", "every_ms": 50}))
        .await;
    let mut strange = 0;
    while strange < 3 {
        let frame = socket.frame().await.expect("the node hung up");
        strange += u32::from(frame == Message::text("{\"op\":"));
    }
    assert_eq!(course(&rest, &often).await, ["fault_begin"]);
    rest.end_fault(&often).await;
    assert_eq!(course(&rest, &often).await, ["fault_begin", "fault_end"]);
}

#[tokio::test]
async fn of_two_faults_that_make_a_nodes_rest_hang_the_last_to_end_frees_it() {
    let sim = sim_with_a_node(0).await;
    let rest = Rest::new(&sim);
    let hang = json!({"kind": "hang_rest", "node": "a"});
    let (one, other) = (rest.fault(hang.clone()).await, rest.fault(hang).await);
    rest.end_fault(&one).await;
    let node = &sim.ready.lavalink[0];
    let info = rest
        .client
        .get(format!("{}/v4/info", node.url))
        .header("Authorization", &node.password)
        .send();
    let mut info = Box::pin(info);
    assert!(
        timeout(Duration::from_millis(100), &mut info).await.is_err(),
        "the other still lasts"
    );
    rest.end_fault(&other).await;
    let answer = timeout(LIMIT, info).await.expect("it still hangs").unwrap();
    assert_eq!(answer.status().as_u16(), 200);
}

#[tokio::test]
async fn a_fault_that_could_do_nothing_is_refused() {
    let sim = sim(0).await;
    let rest = Rest::new(&sim);
    for body in [
        json!({"kind": "withhold", "what": "hello", "shard": 0}),
        json!({"kind": "drop_gateway", "shard": 0, "only": "resume"}),
        json!({"kind": "drop_gateway", "shard": 0, "only": "identify", "for_ms": 1_000}),
        json!({"kind": "recommend_shards", "shards": 16_385}),
    ] {
        let (status, why) = rest.control(Method::POST, "/faults", body.clone()).await;
        assert_eq!(status, 400, "{body}: {why}");
    }
}
